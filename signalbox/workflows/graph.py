"""The order between steps: what may begin, what comes before what, and where it goes in a circle. Pure, ids only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter

Needs = Mapping[str, Collection[str]]
"""Step id → the ids of the steps that must have ended before it; every step is a key, in the order of the file."""


def order(needs: Needs) -> tuple[str, ...]:
    """Return the steps so that each comes after what it needs; among equals in the order of the file.

    Raises:
        ValueError: there is a circle; see `cycle`.
    """
    try:
        return tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        msg = f"steps need each other in a circle: {' → '.join(reversed(error.args[1]))}"
        raise ValueError(msg) from None


def cycle(needs: Needs) -> tuple[str, ...] | None:
    """Return one circle, each step followed by one that it needs, the first again at the end; None where there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        # graphlib says it the other way round: each followed by one that needs it.
        return tuple(reversed(error.args[1]))
    return None


def ready(
    needs: Needs,
    done: Collection[str],
    skipped: Collection[str] = (),
    begun: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the steps that may begin now, in the order of the file.

    Args:
        needs: the graph.
        done: steps with a result.
        skipped: steps that will have none and hold nobody up.
        begun: steps that wait, run, or failed: they do not begin again, and what needs them waits.
    """
    ended = {*done, *skipped}
    return tuple(
        step
        for step, before in needs.items()
        if step not in ended and step not in begun and all(one in ended for one in before)
    )


def before(needs: Needs, step: str) -> frozenset[str]:
    """Return every step that has ended when `step` begins: what it needs, and what those need."""
    found: set[str] = set()
    waiting = list(needs[step])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += needs.get(one, ())
    return frozenset(found)
