"""What a chart shows, as data: kind, words, series of numbers. A model writes it or code reads it out of a text; code draws it.

Bounded in every direction, so that whatever comes here is drawn in a moment and reads well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

Kind = Literal["bar", "line", "scatter", "pie"]

MAX_SERIES: Final = 10
MAX_POINTS: Final = 50
MAX_SLICES: Final = 10
"""Of a pie: as many colours as can be told apart."""
MAX_TITLE_CHARS: Final = 120
MAX_NAME_CHARS: Final = 60
MAX_LABEL_CHARS: Final = 40
MAX_VALUE: Final = 1e15
"""Beyond it an axis has no room for its numbers."""

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "title", "x_label", "y_label", "series"],
    "properties": {
        "kind": {"type": "string", "enum": list(get_args(Kind))},
        "title": {"type": "string", "maxLength": MAX_TITLE_CHARS},
        "x_label": {"type": "string", "maxLength": MAX_NAME_CHARS},
        "y_label": {"type": "string", "maxLength": MAX_NAME_CHARS},
        "series": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_SERIES,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "points"],
                "properties": {
                    "name": {"type": "string", "maxLength": MAX_NAME_CHARS},
                    "points": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_POINTS,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["label", "value"],
                            "properties": {
                                "label": {"type": "string", "maxLength": MAX_LABEL_CHARS},
                                "value": {
                                    "type": "number",
                                    "minimum": -MAX_VALUE,
                                    "maximum": MAX_VALUE,
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""What a model is asked for."""


@dataclass(frozen=True, slots=True)
class Point:
    """One number and what it is of. In a scatter chart the label is a number too, the place on the x axis."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers that belong together."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """A chart that can be drawn: `problems` of it are none."""

    kind: Kind
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Read what fits `SCHEMA`; control characters become spaces."""
        return cls(
            kind=fields["kind"],
            title=_line(fields["title"]),
            x_label=_line(fields["x_label"]),
            y_label=_line(fields["y_label"]),
            series=tuple(
                Series(
                    _line(one["name"]),
                    tuple(Point(_line(p["label"]), float(p["value"])) for p in one["points"]),
                )
                for one in fields["series"]
            ),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in an answer."""
        return {
            "kind": self.kind,
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "series": [
                {"name": one.name, "points": [_point_json(point) for point in one.points]}
                for one in self.series
            ],
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label once, in the order in which the series bring them."""
        return tuple(dict.fromkeys(p.label for one in self.series for p in one.points))


def problems(fields: Mapping[str, Any]) -> Sequence[str]:
    """Return what keeps something that fits `SCHEMA` from being drawn, in words that a model can act on."""
    kind, series = fields["kind"], fields["series"]
    found: list[str] = []
    values = [point["value"] for one in series for point in one["points"]]
    if not all(math.isfinite(value) for value in values):
        found.append("values: every one is a finite number")
    if kind == "pie" and (
        len(series) > 1 or len(values) > MAX_SLICES or min(values) < 0 or sum(values) <= 0
    ):
        found.append(
            f"a pie has one series of at most {MAX_SLICES}, nothing below zero and something above it"
        )
    if kind == "scatter":
        wrong = next(
            (p["label"] for one in series for p in one["points"] if number_of(p["label"]) is None),
            None,
        )
        if wrong is not None:
            found.append(f"label {wrong!r}: in a scatter chart every label is a number")
    if len({point["label"] for one in series for point in one["points"]}) > MAX_POINTS:
        found.append(f"at most {MAX_POINTS} different labels")
    return found


def number_of(label: str) -> float | None:
    """Return the number that a label is; None where it is none that fits on an axis."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= MAX_VALUE else None


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _point_json(point: Point) -> dict[str, Any]:
    value = point.value
    return {"label": point.label, "value": int(value) if value == int(value) else value}
