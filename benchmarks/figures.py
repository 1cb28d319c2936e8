"""What a benchmark gives back: figures with their aims, and series for the plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. With an `aim`, `ratio` says how it stands to it: at most 1 is good, whichever way the aim points."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """Figure ÷ aim, or aim ÷ figure where more is better."""
        if self.aim is None:
            return None
        return self.aim / self.value if self.at_least and self.value else self.value / self.aim

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {**asdict(self), "ratio": self.ratio}


@dataclass(slots=True)
class Result:
    """One benchmark's figures, and what is drawn of it: name → values in the order they were measured."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    notes: str = ""

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        aim: float | None = None,
        *,
        at_least: bool = False,
    ) -> None:
        """Add a figure, rounded to what a reader can use."""
        digits = 4 if abs(value) < 1 else 3 if abs(value) < 10 else 1
        self.figures.append(Figure(name, round(value, digits), unit, aim, at_least))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {
            "title": self.title,
            "notes": self.notes,
            "figures": [figure.as_json() for figure in self.figures],
            "series": self.series,
        }


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0-1) of `values` lie.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        msg = "no values were measured, so there is no quantile; see the job's log"
        raise ValueError(msg)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
