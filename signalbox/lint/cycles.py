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
    taken = {name: subject.takes(name) for name in subject.agents}
    edges = {}
    for sender, receivers in subject.flow.items():
        given = subject.gives(sender)
        edges[sender] = [one for one in receivers if given.must_meet(taken[one])]
    for circle in circles(edges):
        left = set(circle) - _bounding(subject, circle)
        inner = {name: [one for one in edges[name] if one in left] for name in left}
        for unbounded in circles(inner):
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


def circles(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield each largest set of agents that can all reach one another, itself included, in the order of its first name.

    Source: Tarjan's strongly connected components, without recursion: a thousand agents that all accept each other's
    answers are a million edges, and each is looked at once.
    """
    found = [
        sorted(circle)
        for circle in _components(edges)
        if len(circle) > 1 or circle[0] in edges[circle[0]]
    ]
    yield from sorted(found)


def _components(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for start in edges:
        way = [] if start in number else [(start, iter(edges[start]))]
        while way:
            name, left = way[-1]
            if name not in number:
                number[name] = lowest[name] = len(number)
                stack.append(name)
                on_stack.add(name)
            for one in left:
                if one not in number:
                    way.append((one, iter(edges[one])))
                    break
                if one in on_stack:
                    lowest[name] = min(lowest[name], number[one])
            else:
                way.pop()
                if way:
                    lowest[way[-1][0]] = min(lowest[way[-1][0]], lowest[name])
                if lowest[name] == number[name]:
                    at = stack.index(name)
                    yield stack[at:]
                    on_stack.difference_update(stack[at:])
                    del stack[at:]


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
