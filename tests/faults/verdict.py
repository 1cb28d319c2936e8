"""What a fault run is judged to be: counts, and sentences about all that is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sent:
    """One record that a sender tried to write. `id` is empty for raw bytes; `place` is set once the broker has it."""

    id: str
    conversation: str
    place: tuple[str, int, int] | None


@dataclass
class Report:
    """The verdict. The lists hold what is wrong, as sentences; the run is good while all of them are empty."""

    acked: int = 0
    delivered: int = 0
    dead_letters: int = 0
    terminal: int = 0
    parked: int = 0
    effects: int = 0
    model_calls: int = 0
    model_decisions: int = 0
    lost: list[str] = field(default_factory=list)
    dup: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled, left open, or made up."""
        return not (self.lost or self.dup or self.open or self.wrong)

    def __str__(self) -> str:
        calls = f"{self.model_calls / self.model_decisions:.2f}" if self.model_decisions else "-"
        head = (
            f"acked={self.acked} delivered={self.delivered} dead_letters={self.dead_letters} terminal={self.terminal} "
            f"parked={self.parked} effects={self.effects} open={len(self.open)} lost={len(self.lost)} "
            f"dup={len(self.dup)} wrong={len(self.wrong)} calls_per_decision={calls} outcomes={dict(self.outcomes)} "
            f"reasons={dict(self.reasons)}"
        )
        faults = (
            ("lost", self.lost),
            ("dup", self.dup),
            ("open", self.open),
            ("wrong", self.wrong),
        )
        shown = [f"  {name}: {one}" for name, found in faults for one in found[:10]]
        return "\n".join([head, *shown])

    def require_good(self) -> None:
        """Raise unless lost = dup = open = wrong = 0."""
        assert self.is_good, str(self)
