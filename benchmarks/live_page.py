"""The live page under load: how long it goes without a frame while messages come, each with its decision and its task.

The records are those of the shipped fleet, made by the reducer beforehand; the job and the agents do not run, so that the two cores
have only the broker, the read model, the gateway and Chromium, which draws without a graphics card.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser

from benchmarks.lab import ROOT
from connectors.kafka import KafkaBroker
from connectors.registry import publish
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from signalbox.local_stack.temporary import TemporaryBroker
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from signalbox.topics import AGENT_DECISIONS, AGENT_MESSAGES, agent_tasks

RATE: Final = 200.0
SECONDS: Final = 15
_WARM_SECONDS: Final = 3
_WATCH: Final = """
() => {
  window.gaps = [];
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""

_Records = list[tuple[str, bytes, bytes]]


class Seen(NamedTuple):
    """`gaps_ms` between frames; `rate` is what the page said, messages a second."""

    gaps_ms: list[float]
    rate: float


def apply_fleet(broker: TemporaryBroker) -> None:
    """Make the shipped fleet known, so that the page draws its agents."""
    active = _fleet()
    broker.create_topics(*active.agents)
    kafka = KafkaBroker(broker.bootstrap_servers)
    publish(kafka, active, topic_prefix="", applied_at=datetime.now(UTC))


def watched(browser: Browser, port: int, producer: Any) -> Seen:
    """Open the page, let messages come, and return what it did."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"http://127.0.0.1:{port}/ui/live", wait_until="load")
    feeding = threading.Thread(target=_feed, args=(producer, _records()))
    feeding.start()
    page.wait_for_timeout(_WARM_SECONDS * 1000)
    page.evaluate(_WATCH)
    page.wait_for_timeout((SECONDS - _WARM_SECONDS) * 1000)
    gaps, rate = page.evaluate("[gaps, document.getElementById('rate').textContent]")
    feeding.join()
    page.close()
    return Seen([float(one) for one in gaps], float(rate))


def _fleet() -> ActiveSet:
    return ActiveSet.of([load_fleet(ROOT / "agent_definitions" / "sdr")])


def _records() -> list[_Records]:
    """Return, for each message, what is written: itself, its decision, its task."""
    lead = json.loads(
        (ROOT / "agent_definitions/sdr/demo/leads.jsonl").read_text("utf-8").splitlines()[0]
    )
    world = Simulation(Rulebook(Rules.compile(_fleet(), EnginePolicy())))
    made: list[_Records] = []
    for number in range(int(RATE * SECONDS)):
        subject = f"live-{number}"
        key = subject.encode()
        sent = Envelope(
            id=f"m-{subject}",
            source="cli",
            type="lead.submitted",
            time=from_epoch_ms(world.now_ms),
            subject=subject,
            data={"lead": lead.get("lead", lead)},
        )
        world.send(sent)
        task = world.dispatches[-1]
        made.append(
            [
                (AGENT_MESSAGES, key, sent.to_json()),
                (AGENT_DECISIONS, key, world.decisions[-1].to_json()),
                (agent_tasks(task.agent), key, task.task.to_json()),
            ]
        )
    return made


def _feed(producer: Any, made: list[_Records]) -> None:
    begun = time.monotonic()
    for number, records in enumerate(made):
        time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        for topic, key, value in records:
            producer.send(topic, key=key, value=value)
    producer.flush()
