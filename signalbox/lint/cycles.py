"""Rule `cycle`: answers that can go round, with nothing in the data that brings the circle to an end.

A decreasing measure is an integer that an agent of the circle requires with a `minimum` (so that it refuses once the number is
used up) and that every agent of the circle must answer with (so that it is not lost on the way); the handlers have to lower
it. Without one, the budgets of fleet.yaml are the only end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from signalbox.lint.finding import Finding
from signalbox.lint.subject import Subject

RULE: Final = "cycle"
_SHOWN: Final = 6


def cycles(subject: Subject) -> Iterator[Finding]:
    """Warn once for each circle of agents that no measure ends."""
    edges = {
        sender: [one for one in receivers if subject.gives(sender).must_meet(subject.takes(one))]
        for sender, receivers in subject.flow.items()
    }
    for circle in _circles(edges):
        left = set(circle) - _bounding(subject, circle)
        inner = {name: [one for one in edges[name] if one in left] for name in left}
        for unbounded in _circles(inner):
            yield _finding(subject, _round(edges, unbounded))


def _finding(subject: Subject, way: Sequence[str]) -> Finding:
    shown = " → ".join(way if len(way) <= _SHOWN else [*way[: _SHOWN - 1], "…", way[-1]])
    hops = subject.folder_of(way[0]).fleet.policy.budgets.hops
    return subject.finding(
        RULE,
        "warning",
        way[0],
        ("output", "schema"),
        f"{shown}: answers can go round, and nothing in the data ends it but the budget of {hops} hops",
        "let the agents carry a required integer with a `minimum` and lower it, narrow an output, or take an edge out of `handoffs`",
    )


def _bounding(subject: Subject, circle: Collection[str]) -> set[str]:
    """Return the agents of the circle that refuse once a number that all of them carry is used up."""
    carried = [set(_required(subject.agents[one].output.json_schema)) for one in circle]
    kept = set.intersection(*carried)
    return {one for one in circle if kept & _measures(subject.agents[one].input.json_schema)}


def _measures(schema: Mapping[str, Any]) -> set[str]:
    properties = schema.get("properties", {})
    return {name for name in _required(schema) if _is_measure(properties.get(name))}


def _is_measure(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or schema.get("type") != "integer":
        return False
    return "minimum" in schema or "exclusiveMinimum" in schema


def _required(schema: Mapping[str, Any]) -> Sequence[str]:
    required: Sequence[str] = schema.get("required", ())
    return required


def _circles(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield each largest set of agents that can all reach one another."""
    reach = {name: _reachable(edges, name) for name in edges}
    seen: set[str] = set()
    for name in sorted(edges):
        if name in reach[name] and name not in seen:
            circle = sorted(one for one in reach[name] if name in reach[one])
            seen.update(circle)
            yield circle


def _reachable(edges: Mapping[str, Sequence[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for one in edges[waiting.pop()]:
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _round(edges: Mapping[str, Sequence[str]], circle: Sequence[str]) -> list[str]:
    """Return the shortest way from the first of `circle` back to itself."""
    start, inside = circle[0], set(circle)
    before: dict[str, str] = {}
    waiting = [start]
    for name in waiting:
        for one in edges[name]:
            if one == start:
                way = [start]
                while name != start:
                    way.append(name)
                    name = before[name]  # noqa: PLW2901 - the way back
                return [start, *reversed(way[1:]), start]
            if one in inside and one not in before:
                before[one] = name
                waiting.append(one)
    return [start]
