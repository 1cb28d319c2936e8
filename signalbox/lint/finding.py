"""What the linter says: a rule, how bad it is, where, what, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

Level = Literal["error", "warning"]
_NAMED: Final = 5


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding. `path`, `line` and `column` (from 1) are what an editor opens."""

    path: Path
    line: int
    column: int
    rule: str
    level: Level
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.level} [{self.rule}] {self.what}; {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "path": str(self.path)}


def some(names: Sequence[str]) -> str:
    """Name up to five, and say how many more there are."""
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
