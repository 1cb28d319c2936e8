"""The report as one HTML page: no script, no network, readable in light and dark, on paper and on a narrow screen.

Everything it shows comes out of `report`; labels and messages are escaped, and its policy forbids to load anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

MAX_MATRIX_LABELS: Final = 40
"""A larger matrix cannot be read; the labels that are confused most are shown then."""

_TEMPLATE: Final = "page.html.jinja"


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows of one right answer that got one answer, and their share of the row."""

    count: int
    share: float
    is_right: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """Right answers by given answers, both in the order of `labels`; `hidden` labels are left out."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    hidden: int


def page(report: Mapping[str, Any]) -> str:
    """Render the report of `signalbox.evaluation.report`."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    source = files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source).render(report=report, matrix=matrix_of(report))


def percent(value: float | None) -> str:
    """Write a share in [0, 1] for a person; a dash where there is none."""
    return "–" if value is None else f"{value * 100:.1f} %"


def matrix_of(report: Mapping[str, Any]) -> Matrix:
    """Build the confusion matrix from the report's own figures."""
    agents, pairs = report["agents"], report["confused"]
    labels = _labels(list(agents), pairs)
    counts = {(pair["expected"], pair["answered"]): pair["count"] for pair in pairs}
    counts.update({(name, name): one["right"] for name, one in agents.items()})
    rows = []
    for expected in labels:
        whole = agents[expected]["expected"] or 1
        found = [(counts.get((expected, answered), 0), answered == expected) for answered in labels]
        rows.append((expected, tuple(Cell(n, n / whole, right) for n, right in found)))
    return Matrix(labels, tuple(rows), len(agents) - len(labels))


def _labels(names: list[str], pairs: list[Mapping[str, Any]]) -> tuple[str, ...]:
    if len(names) <= MAX_MATRIX_LABELS:
        return tuple(names)
    chosen: dict[str, None] = {}
    for pair in pairs:
        for name in (pair["expected"], pair["answered"]):
            if len(chosen) < MAX_MATRIX_LABELS:
                chosen[name] = None
    return tuple(name for name in names if name in chosen)
