"""What the operator asks of the interpreter it runs in: a collector that leaves the libraries alone, and quiet HTTP clients.

Measured with 400 model calls a second inside the TaskManager: full collections over half a million objects of Flink's and Beam's
modules took 40 % of the calls' thread, and httpx's line a request, which crosses into Java's log, another 20 %.
"""

from __future__ import annotations

import gc
import logging
import sys
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""How many new objects start a collection of the youngest. Python's 700 is for small programs."""
SWITCH_SECONDS: Final = 0.0005
"""How long a thread waits before it asks the other for the interpreter. Java enters Python several times for an element, and at
Python's 5 ms each entry may wait that long while the calls' thread is busy."""
CHATTY: Final = ("httpx", "httpcore", "openai")


def settle_interpreter() -> None:
    """Take what is imported by now out of the collector's sight, and let HTTP clients speak of problems only.

    Safe to call again: a second operator of the same process freezes what has come since.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
