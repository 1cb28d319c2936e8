"""What the operator asks of the interpreter it runs in: a collector that leaves the libraries alone, and logs that are calm.

Measured with 400 model calls a second inside the TaskManager: full collections over half a million objects of Flink's and Beam's
modules took 40 % of the calls' thread, and the HTTP clients' lines, each of which crosses into Java's log, another 20 %.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections import deque
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""How many new objects start a collection of the youngest. Python's 700 is for small programs."""
SWITCH_SECONDS: Final = 0.0005
"""How long a thread waits before it asks the other for the interpreter. Java enters Python several times for an element, and at
Python's 5 ms each entry may wait that long while the calls' thread is busy."""
CHATTY: Final = ("httpx", "httpcore")
KEPT_RECORDS: Final = 1000
_BRIDGE: Final = "pemja.logger"


def settle_interpreter() -> JavaLog | None:
    """Take what is imported by now out of the collector's sight, and log what is worth a line.

    Safe to call again: a second operator of the same process freezes what has come since.

    Returns:
        The way into Java's log where the interpreter is Java's, to be flushed now and then; else None.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    sys.setswitchinterval(SWITCH_SECONDS)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    root = logging.getLogger()
    # Inside the TaskManager it is DEBUG, and each library formats what Java then drops.
    root.setLevel(max(root.level, logging.INFO))
    for handler in root.handlers:
        if isinstance(handler, JavaLog):
            return handler
        if type(handler).__module__ == _BRIDGE:
            root.removeHandler(handler)
            log = JavaLog(handler)
            root.addHandler(log)
            return log
    return None


class JavaLog(logging.Handler):
    """Hands records to `bridge` on Java's threads only; those of our own threads wait for the next `flush` on one of Java's.

    A thread of ours that calls Java attaches itself to the JVM, and two such threads in one embedded interpreter have ended
    in a segmentation fault. The newest `KEPT_RECORDS` wait.
    """

    def __init__(self, bridge: logging.Handler) -> None:
        super().__init__()
        self._bridge = bridge
        self._waiting: deque[logging.LogRecord] = deque(maxlen=KEPT_RECORDS)

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, or keep it."""
        if _is_javas_thread():
            self._bridge.emit(record)
        else:
            self._waiting.append(record)

    def flush(self) -> None:
        """Write what waits, when called on one of Java's threads."""
        if _is_javas_thread():
            while self._waiting:
                self._bridge.emit(self._waiting.popleft())


def _is_javas_thread() -> bool:
    # Python did not start it, so Python knows it as a dummy.
    return threading.current_thread().name.startswith("Dummy-")
