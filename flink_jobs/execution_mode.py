"""Where Flink runs the operators' Python: inside the TaskManager (`thread`) or in a process of its own (`process`).

In a process every record passes a bundle in each stage, and every miss in keyed state is a round trip: twice the latency of
a hop and several times its CPU (docs/architecture.md, section 6). Inside the TaskManager neither exists, but the
interpreter must be there as a shared library, which Debian keeps in a package of its own (libpython3.11).
"""

from __future__ import annotations

import os
import site
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import find_libpython

import signalbox
from signalbox.settings import Settings

ExecutionMode = Literal["thread", "process"]

ROUTE_UIDS: Final[dict[ExecutionMode, str]] = {"thread": "route", "process": "route-in-process"}
"""State of one mode cannot be read in the other, so Flink is to refuse such a savepoint instead of starting empty."""

OPTION: Final = "python.execution-mode"


def execution_mode(
    settings: Settings, find_library: Callable[[], str | None] = find_libpython.find_libpython
) -> ExecutionMode:
    """Return the mode of `settings`; `auto` is `thread` wherever this machine has Python as a shared library.

    `find_library` is what PyFlink's own loader (pemja) asks for the library's path.
    """
    wanted = settings.flink.python_execution_mode
    if wanted == "auto":
        return "thread" if find_library() is not None else "process"
    return wanted


def python_path() -> str:
    """Return the PYTHONPATH of a TaskManager on this machine: an embedded interpreter does not know of a virtual environment."""
    ours = str(Path(signalbox.__file__).parents[1])
    return os.pathsep.join(dict.fromkeys([ours, *site.getsitepackages()]))
