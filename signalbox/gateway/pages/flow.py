"""Who hands off to whom as a drawing: agents in columns, each right of who hands off to it, with the number on the line. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 168
HEIGHT: Final = 44
_GAP_X: Final = 76
_GAP_Y: Final = 26
_LANE: Final = 16
_MARGIN: Final = 12

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """An agent and the left upper corner of its box, in units of the drawing."""

    name: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    """A hand-off: an SVG path, and where its number stands. `number` was seen; `is_declared`: the definition names it."""

    sender: str
    receiver: str
    path: str
    x: int
    y: int
    number: int
    is_declared: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """A drawing of `width` by `height` units."""

    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]
    width: int
    height: int


def flow_of(agents: Iterable[str], declared: Collection[Pair], seen: Mapping[Pair, int]) -> Flow:
    """Draw hand-offs between agents; of one that is not among `agents` none is drawn.

    Args:
        agents: their names.
        declared: which hand-offs definitions name.
        seen: how often each happened.
    """
    names = sorted(set(agents))
    pairs = sorted(pair for pair in {*declared, *seen} if pair[0] in names and pair[1] in names)
    column = _columns(names, pairs)
    rows: dict[int, int] = {}
    nodes: dict[str, Node] = {}
    for name in names:
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        x = _MARGIN + column[name] * (WIDTH + _GAP_X)
        nodes[name] = Node(name, x, _MARGIN + row * (HEIGHT + _GAP_Y))
    floor = max((node.y for node in nodes.values()), default=0) + HEIGHT
    # A straight line would run through the boxes between.
    below = [pair for pair in pairs if column[pair[1]] != column[pair[0]] + 1]
    lines = []
    for pair in pairs:
        depth = floor + _LANE * (below.index(pair) + 2) if pair in below else None
        path, x, y = _line(nodes[pair[0]], nodes[pair[1]], depth)
        lines.append(Line(*pair, path, x, y, seen.get(pair, 0), is_declared=pair in declared))
    width = max((node.x + WIDTH for node in nodes.values()), default=0) + _MARGIN
    height = floor + (_LANE * (len(below) + 1) if below else 0) + _MARGIN
    return Flow(tuple(nodes.values()), tuple(lines), width, height)


def _columns(names: list[str], pairs: list[Pair]) -> dict[str, int]:
    """Return each agent's column: one right of the last that hands off to it, where that is no way back."""
    after: dict[str, list[str]] = {name: [] for name in names}
    for sender, receiver in pairs:
        if sender != receiver:
            after[sender].append(receiver)
    starts = sorted(names, key=lambda name: (any(name in them for them in after.values()), name))
    order: list[str] = []
    back: set[Pair] = set()
    done: set[str] = set()
    for start in starts:
        _visit(start, after, order, back, done)
    column = dict.fromkeys(names, 0)
    for name in reversed(order):
        for receiver in after[name]:
            if (name, receiver) not in back:
                column[receiver] = max(column[receiver], column[name] + 1)
    return column


def _visit(
    start: str, after: Mapping[str, list[str]], order: list[str], back: set[Pair], done: set[str]
) -> None:
    """Walk depth first; `order` gets who is left last first, `back` the pairs that close a circle."""
    if start in done:
        return
    on_way = [start]
    todo = [iter(after[start])]
    while todo:
        receiver = next(todo[-1], None)
        if receiver is None:
            todo.pop()
            left = on_way.pop()
            done.add(left)
            order.append(left)
        elif receiver in on_way:
            back.add((on_way[-1], receiver))
        elif receiver not in done:
            on_way.append(receiver)
            todo.append(iter(after[receiver]))


def _line(sender: Node, receiver: Node, depth: int | None) -> tuple[str, int, int]:
    """Return a path and where the middle of its number stands; with `depth` it runs below all boxes, so far."""
    if depth is not None:
        x0, y0 = sender.x + WIDTH * 2 // 3, sender.y + HEIGHT
        x1, y1 = receiver.x + WIDTH // 3, receiver.y + HEIGHT
        return f"M{x0} {y0}C{x0} {depth} {x1} {depth} {x1} {y1}", x1, y1 + 18
    x0, y0 = sender.x + WIDTH, sender.y + HEIGHT // 2
    x1, y1 = receiver.x, receiver.y + HEIGHT // 2
    bend = (x0 + x1) // 2
    # Past the middle, where two lines that cross are apart.
    x = round(0.064 * x0 + 0.72 * bend + 0.216 * x1)
    y = round(0.352 * y0 + 0.648 * y1)
    return f"M{x0} {y0}C{bend} {y0} {bend} {y1} {x1} {y1}", x, y - 5
