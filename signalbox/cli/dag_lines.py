"""Steps that need each other, drawn as a tree of text: each below what it waits for longest.

A step with several needs hangs below the one that comes last; `also` names the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DagLine:
    """One line: what stands before the step's name, the step, and what it waits for besides the one it hangs below."""

    prefix: str
    step: str
    also: tuple[str, ...]


def dag_lines(needs: Mapping[str, Collection[str]], order: Sequence[str]) -> tuple[DagLine, ...]:
    """Return one line for each step.

    Args:
        needs: step id → what must have ended before it.
        order: all steps, each after what it needs.
    """
    parents = {step: _parent(step, needs, order) for step in order}
    children: dict[str | None, list[str]] = {}
    for step in order:
        children.setdefault(parents[step], []).append(step)
    lines: list[DagLine] = []
    # Without recursion: two hundred steps may be one chain.
    waiting = [(step, "", "") for step in reversed(children.get(None, []))]
    while waiting:
        step, prefix, below = waiting.pop()
        also = tuple(one for one in needs[step] if one != parents[step])
        lines.append(DagLine(prefix, step, also))
        inner = children.get(step, [])
        for number, child in reversed(list(enumerate(inner))):
            is_last = number == len(inner) - 1
            corner, rest = ("└─► ", "    ") if is_last else ("├─► ", "│   ")
            waiting.append((child, below + corner, below + rest))
    return tuple(lines)


def _parent(step: str, needs: Mapping[str, Collection[str]], order: Sequence[str]) -> str | None:
    return max(needs[step], key=order.index, default=None)
