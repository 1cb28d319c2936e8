"""What a conversation remembers of open tasks beyond that they are open: only of those whose agents ask for it.

Most conversations have nothing of this, and then neither their blob nor their deadlines know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self


@dataclass(frozen=True, slots=True)
class KeptTask:
    """One open task.

    Attributes:
        sequence: the number in `results` of the message it was made of, so that it can be decided again; None: it cannot be.
        sender: the agent whose answer that message is; None: it came from outside.
        due_ms: when its agent must have acknowledged it, ms since 1970; 0: it did, or need not.
        is_notice: it tells its agent of something; what that answers ends there.
        why: it is being taken back in this very turn, for this reason.
    """

    sequence: int | None = None
    sender: str | None = None
    due_ms: int = 0
    is_notice: bool = False
    why: str = ""

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return replace(self, **changes)

    def encoded(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        return {
            name: value
            for name, default in _DEFAULTS.items()
            if (value := getattr(self, name)) != default
        }


_DEFAULTS: Final = {slot.name: slot.default for slot in fields(KeptTask)}


@dataclass(frozen=True, slots=True)
class Detour:
    """A message that is decided without some agents.

    Attributes:
        avoid: those that could not be reached, each with why.
        number: how often the message was taken back.
        spared: those whose colleague was drawn, for the decision that is open now.
    """

    avoid: Mapping[str, str]
    number: int = 0
    spared: Mapping[str, str] = field(default_factory=dict)
