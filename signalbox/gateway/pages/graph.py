"""The live picture: senders, the topic and its job in the middle, agents at the side, and where conversations end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_AGENTS: Final = 20
OTHERS: Final = "*"
"""Stands for the agents that there is no room for."""
AGENT_WIDTH: Final = 212
AGENT_HEIGHT: Final = 54
WIDTH: Final = 1000
_ROW: Final = 66
_TOP: Final = 16
_AGENTS_X: Final = WIDTH - AGENT_WIDTH - 8
_HUB_X: Final = 360
_HUB_HALF: Final = 82
_ENDS: Final = ("ended", "asked", "dead")


@dataclass(frozen=True, slots=True)
class Place:
    """A node: its name and its left upper corner."""

    name: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A picture of `WIDTH` by `height` units. `lines` are SVG paths by the name of the edge that moves along them."""

    agents: tuple[Place, ...]
    ends: tuple[Place, ...]
    hub: Place
    source: Place
    lines: Mapping[str, str]
    left_out: tuple[str, ...]
    height: int


def graph_of(agents: Sequence[str], busy: Mapping[str, int]) -> Graph:
    """Place agents in their order; where they are too many, the busiest, and one node for all others."""
    shown, left_out = _chosen(agents, busy)
    names = [*shown, *([OTHERS] if left_out else [])]
    height = max(_TOP * 2 + _ROW * len(names), 300)
    middle = height // 2
    first = middle - _ROW * len(names) // 2
    placed = tuple(
        Place(name, _AGENTS_X, first + number * _ROW + (_ROW - AGENT_HEIGHT) // 2)
        for number, name in enumerate(names)
    )
    hub = Place("agent_messages", _HUB_X, middle)
    source = Place("in", 70, middle - 70)
    ends = tuple(Place(name, 70, middle + 10 + 44 * number) for number, name in enumerate(_ENDS))
    left, right = hub.x - _HUB_HALF, hub.x + _HUB_HALF
    lines = {"in": _curve(source.x + 62, source.y, left, middle - 12)}
    for end in ends:
        lines[end.name] = _curve(left, middle + 8, end.x + 62, end.y)
    for agent in placed:
        y = agent.y + AGENT_HEIGHT // 2
        lines[f"to:{agent.name}"] = _curve(right, middle - 6, agent.x, y - 8)
        lines[f"from:{agent.name}"] = _curve(agent.x, y + 8, right, middle + 6)
    return Graph(placed, ends, hub, source, lines, left_out, height)


def _chosen(
    agents: Sequence[str], busy: Mapping[str, int]
) -> tuple[Sequence[str], tuple[str, ...]]:
    if len(agents) <= MAX_AGENTS:
        return agents, ()
    ranked = sorted(agents, key=lambda name: (-busy.get(name, 0), name))
    kept = set(ranked[: MAX_AGENTS - 1])
    return [one for one in agents if one in kept], tuple(one for one in agents if one not in kept)


def _curve(x0: int, y0: int, x1: int, y1: int) -> str:
    bend = (x0 + x1) // 2
    return f"M{x0} {y0}C{bend} {y0} {bend} {y1} {x1} {y1}"
