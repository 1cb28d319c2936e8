"""The pages: how soon a record shows, how fast the read model reads, how much a page weighs and when it is painted.

Gateway and read model are processes beside a real broker; pages are opened in Debian's Chromium.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import kafka
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import live_page
from benchmarks.feeder import messages
from benchmarks.figures import Result, quantile
from benchmarks.gateway import takes_messages
from signalbox.errors import UsageError
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.schema import open_to_read
from signalbox.local_stack import ports
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.process import ManagedProcess, ProcessSpec
from signalbox.local_stack.temporary import TemporaryBroker
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer

STORED: Final = 100_000
SHOWN: Final = 400
SHOWN_RATE: Final = 40.0
KEEPS_UP: Final = 1000.0
DELAY_MS: Final = 300.0
PAINT_MS: Final = 1000.0
STALL_MS: Final = 100.0
MAX_PAGE_KB: Final = 300.0
PAGES: Final = (
    "live",
    "conversations",
    "conversations/stored-7",
    "inbox",
    "dead-letters",
    "agents",
    "lead",
)
OPENED: Final = 5
_PAINTED: Final = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_WEIGHED: Final = """
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
        .reduce((sum, one) => sum + one.encodedBodySize, 0)
"""
_PATIENCE_SECONDS: Final = 300.0


def measure() -> Result:
    """Milliseconds, kilobytes, records a second."""
    result = Result(
        "The pages",
        notes=f"{STORED:,} conversations stored; {SHOWN} messages at {SHOWN_RATE:g}/s from their acknowledgement to the stream "
        f"of the live page; each page opened {OPENED} times in Chromium. The live page is watched for {live_page.SECONDS} s at "
        f"{live_page.RATE:g} messages/s, each with its decision and task.",
    )
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(TemporaryBroker(folder / "broker"))
        settings = broker.settings(gateway={"port": ports.free_port()})
        live_page.apply_fleet(broker)
        producer = _Producer(bootstrap_servers=broker.bootstrap_servers, linger_ms=5)
        stack.callback(producer.close)
        _write(producer, messages("stored", STORED, "b"))
        began = time.monotonic()
        stack.enter_context(_process(folder, "signalbox.gateway.readmodel", settings))
        _wait_for_all(settings)
        result.add(
            "records read a second",
            STORED / (time.monotonic() - began),
            "/s",
            KEEPS_UP,
            at_least=True,
        )
        stack.enter_context(_process(folder, "signalbox.gateway", settings))
        delays = _delays(settings.gateway.port, producer)
        result.add("from the topic to the page, p50", quantile(delays, 0.5), "ms")
        result.add("from the topic to the page, p99", quantile(delays, 0.99), "ms", DELAY_MS)
        result.series["from the topic to the page, ms"] = delays
        with _chromium() as browser:
            for page, painted_ms, kilobytes in _opened(browser, settings.gateway.port):
                result.add(f"/ui/{page}, first paint", painted_ms, "ms", PAINT_MS)
                result.add(f"/ui/{page}, weight", kilobytes, "kB", MAX_PAGE_KB)
            seen = live_page.watched(browser, settings.gateway.port, producer)
        result.add("live page, messages a second that it says", seen.rate, "/s")
        result.add("live page, p50 between frames", quantile(seen.gaps_ms, 0.5), "ms")
        result.add("live page, p99 between frames", quantile(seen.gaps_ms, 0.99), "ms")
        result.add("live page, longest without a frame", max(seen.gaps_ms), "ms", STALL_MS)
    return result


@contextmanager
def _process(folder: Path, module: str, settings: Settings) -> Iterator[None]:
    is_gateway = module == "signalbox.gateway"
    spec = ProcessSpec(
        name=module,
        argv=(sys.executable, "-m", module),
        log_path=folder / f"{module}.log",
        environ=environment_of(settings),
        ready=partial(takes_messages, settings.gateway.port) if is_gateway else lambda: True,
    )
    process = ManagedProcess.start(spec)
    try:
        process.wait_ready()
        yield
    finally:
        process.stop()


def _write(producer: Any, made: list[tuple[bytes, bytes]]) -> None:
    for key, value in made:
        producer.send(AGENT_MESSAGES, key=key, value=value)
    producer.flush()


def _wait_for_all(settings: Settings) -> None:
    """Wait until the read model has every stored conversation."""
    place = ReadModelPlace.of(settings)
    patience = time.monotonic() + _PATIENCE_SECONDS
    while _conversations(place) < STORED:
        if time.monotonic() > patience:
            msg = f"the read model did not read {STORED} records in {_PATIENCE_SECONDS:g} s"
            raise TimeoutError(msg)
        time.sleep(0.2)


def _conversations(place: ReadModelPlace) -> int:
    with suppress(sqlite3.OperationalError), closing(open_to_read(place.current())) as connection:
        return int(connection.execute("SELECT count(*) FROM conversation").fetchone()[0])
    return 0


def _delays(port: int, producer: Any) -> list[float]:
    """Return, for each message, ms from the broker's acknowledgement to the event that counts it."""
    arrived: list[float] = []
    ready = threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"http://127.0.0.1:{port}/ui/live/stream", timeout=30) as answer:
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                if not line.startswith("data:"):
                    continue
                if event == "levels":
                    ready.set()
                if event == "moves":
                    number = json.loads(line[5:])["edges"].get("in", 0)
                    arrived.extend([time.time()] * number)
                if len(arrived) >= SHOWN:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait(_PATIENCE_SECONDS)
    acknowledged = []
    begun = time.monotonic()
    for number, (key, value) in enumerate(messages("shown", SHOWN, "b")):
        time.sleep(max(0.0, begun + number / SHOWN_RATE - time.monotonic()))
        producer.send(AGENT_MESSAGES, key=key, value=value).get(timeout=30)
        acknowledged.append(time.time())
    listener.join(_PATIENCE_SECONDS)
    return [(there - sent) * 1000 for sent, there in zip(acknowledged, arrived, strict=True)]


@contextmanager
def _chromium() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        msg = "Chromium is not installed; `apt-get install chromium`"
        raise UsageError(msg)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _opened(browser: Browser, port: int) -> Iterator[tuple[str, float, float]]:
    """Yield each page with the median of its first paints (ms) and its weight (kB), everything that it loads included."""
    for name in PAGES:
        painted, weights = [], []
        for _ in range(OPENED):
            # A context of its own has nothing in its cache.
            page = browser.new_context().new_page()
            weights.append(_weight_of(page, f"http://127.0.0.1:{port}/ui/{name}"))
            painted.append(_painted_ms(page))
            page.context.close()
        yield name, quantile(painted, 0.5), max(weights)


def _painted_ms(page: Page) -> float:
    # Not `wait_for_function`: the pages' policy lets nobody evaluate a text.
    patience = time.monotonic() + _PATIENCE_SECONDS
    while (found := page.evaluate(_PAINTED)) is None:
        if time.monotonic() > patience:
            msg = f"{page.url} was never painted"
            raise TimeoutError(msg)
        page.wait_for_timeout(20)
    return float(found)


def _weight_of(page: Page, url: str) -> float:
    answer = page.goto(url, wait_until="load")
    if answer is None or not answer.ok:
        msg = f"{url} is not there: {answer.status if answer else 'no answer'}"
        raise RuntimeError(msg)
    return float(page.evaluate(_WEIGHED)) / 1000
