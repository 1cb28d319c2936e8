"""The ways in and out as processes of the stack: each runs where its setting is set."""

from __future__ import annotations

import sys
from functools import partial

from signalbox.local_stack.child import Child
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.process import ProcessSpec
from signalbox.settings import Settings

EXIT_STOPPED = 4
"""A source that cannot go on without a person; starting it again would change nothing."""


def source_commands(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the processes that the settings ask for: name → command after `signalbox`."""
    asked = {
        "source mongodb": (settings.mongodb.is_set, ("source", "mongodb")),
        "source folder": (settings.folder.path is not None, ("source", "folder")),
        "outbox": (settings.smtp.host is not None, ("outbox", "run")),
    }
    return {name: command for name, (is_asked, command) in asked.items() if is_asked}


def source_children(layout: Layout) -> list[Child]:
    """Return one child for each, not started yet."""
    return [
        Child(
            name,
            "source",
            partial(_spec, layout, name, command),
            final_codes=frozenset({EXIT_STOPPED}),
        )
        for name, command in source_commands(layout.settings).items()
    ]


def _spec(layout: Layout, name: str, command: tuple[str, ...]) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", "signalbox.cli", *command),
        log_path=layout.logs / f"{name.replace(' ', '-')}.log",
        environ=layout.environ(),
    )
