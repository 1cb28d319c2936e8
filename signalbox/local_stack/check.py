"""One line of what `signalbox doctor` says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is right, what was found, and what to do where it is not."""

    name: str
    ok: bool
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)
