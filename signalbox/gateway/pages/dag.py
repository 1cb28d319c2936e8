"""The steps of a workflow's run as a drawing: each in the column after what it needs, with lines between. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 176
HEIGHT: Final = 58
_GAP_X: Final = 48
_GAP_Y: Final = 18
_MARGIN: Final = 8


@dataclass(frozen=True, slots=True)
class Box:
    """A step and the left upper corner of its box, in units of the drawing."""

    step: Mapping[str, Any]
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Dag:
    """A drawing of `width` by `height` units. `lines` are SVG paths from what is needed to what needs it."""

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    width: int
    height: int


def dag_of(steps: Sequence[Mapping[str, Any]]) -> Dag:
    """Draw steps that come each after what it needs (`id`, `needs`); where needs are not known, one below the other."""
    column: dict[str, int] = {}
    rows: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for step in steps:
        place = max((column[one] + 1 for one in step.get("needs", ()) if one in column), default=0)
        column[step["id"]] = place
        row = rows.get(place, 0)
        rows[place] = row + 1
        x = _MARGIN + place * (WIDTH + _GAP_X)
        boxes[step["id"]] = Box(step, x, _MARGIN + row * (HEIGHT + _GAP_Y))
    lines = tuple(
        _line(boxes[one], box)
        for box in boxes.values()
        for one in box.step.get("needs", ())
        if one in boxes
    )
    width = max((box.x + WIDTH for box in boxes.values()), default=0) + _MARGIN
    height = max((box.y + HEIGHT for box in boxes.values()), default=0) + _MARGIN
    return Dag(tuple(boxes.values()), lines, width, height)


def _line(before: Box, after: Box) -> str:
    x0, y0 = before.x + WIDTH, before.y + HEIGHT // 2
    x1, y1 = after.x, after.y + HEIGHT // 2
    bend = (x0 + x1) // 2
    return f"M{x0} {y0}C{bend} {y0} {bend} {y1} {x1} {y1}"
