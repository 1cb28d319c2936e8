"""The interpreter inside the TaskManager: what reaches Java's log, and on which thread."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from flink_jobs.operators import interpreter
from flink_jobs.operators.interpreter import JavaLog, settle_interpreter


class Bridge(logging.Handler):
    """Stands for pemja's handler: keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    """The root logger as it is inside the TaskManager; everything is put back afterwards."""
    root, found = logging.getLogger(), Bridge()
    monkeypatch.setattr(interpreter, "_BRIDGE", __name__)
    level, handlers, threshold, switch = (
        root.level,
        list(root.handlers),
        gc.get_threshold(),
        sys.getswitchinterval(),
    )
    chatty = {name: logging.getLogger(name).level for name in interpreter.CHATTY}
    root.setLevel(logging.DEBUG)
    root.addHandler(found)
    yield found
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in chatty.items():
        logging.getLogger(name).setLevel(before)
    gc.unfreeze()
    gc.set_threshold(*threshold)
    sys.setswitchinterval(switch)


def on_javas_thread(work: Callable[[], None]) -> None:
    """Run `work` on a thread that bears the name of one that Python did not start."""
    thread = threading.Thread(target=work, name="Dummy-7")
    thread.start()
    thread.join()


def test_our_threads_never_enter_java(bridge: Bridge) -> None:
    """What a thread of ours logs waits until one of Java's flushes; nothing is lost, order is kept."""
    log = settle_interpreter()
    assert isinstance(log, JavaLog)
    logging.getLogger("signalbox").warning("first, from the calls' thread")
    log.flush()
    assert bridge.said == []

    def java() -> None:
        log.flush()
        logging.getLogger("signalbox").warning("second, from the task's thread")

    on_javas_thread(java)
    assert bridge.said == ["first, from the calls' thread", "second, from the task's thread"]


def test_a_request_is_not_worth_a_line(bridge: Bridge) -> None:
    """A line for each HTTP request, and all that is only for debugging, stays out of Java's log; problems do not."""
    settle_interpreter()

    def java() -> None:
        logging.getLogger("httpx").info("HTTP Request: POST …")
        logging.getLogger("asyncio").debug("Using selector")
        logging.getLogger("httpx").warning("a problem")

    on_javas_thread(java)
    assert bridge.said == ["a problem"]


def test_a_second_operator_shares_the_first_ones_log(bridge: Bridge) -> None:
    """Two operators of one TaskManager settle the same interpreter; a record is written once."""
    assert settle_interpreter() is settle_interpreter()
    on_javas_thread(lambda: logging.getLogger("signalbox").warning("once"))
    assert bridge.said == ["once"]
