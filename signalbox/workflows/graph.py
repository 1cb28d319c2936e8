"""The order between steps: what may begin, what comes before what, and where it goes in a circle. Pure, ids only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final

Needs = Mapping[str, Collection[str]]
"""Step id → the ids of the steps that must have ended before it; every step is a key, in the order of the file."""
_NOTHING: Final[Mapping[str, int]] = {}


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
    at_least: Mapping[str, int] = _NOTHING,
) -> tuple[str, ...]:
    """Return the steps that may begin now, in the order of the file.

    Args:
        needs: the graph.
        done: steps with a result.
        skipped: steps that will have none and hold nobody up.
        begun: steps that wait, run, or failed: they do not begin again, and what needs them waits.
        at_least: steps that begin once so many of their needs have a result, whatever became of the others.
    """
    ended = {*done, *skipped}
    return tuple(
        step
        for step, before in needs.items()
        if step not in ended
        and step not in begun
        and (
            sum(one in done for one in before) >= at_least[step]
            if step in at_least
            else all(one in ended for one in before)
        )
    )


def before(needs: Needs, step: str, gathering: Collection[str] = ()) -> frozenset[str]:
    """Return every step that has ended when `step` begins: what it needs, and what those need.

    What only a step of `gathering` waits for is left out: it begins when some of its needs have ended, and nobody knows which.
    """
    found: set[str] = set()
    waiting = [] if step in gathering else list(needs[step])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += () if one in gathering else needs.get(one, ())
    return frozenset(found)


def dependents_of(needs: Needs) -> dict[str, tuple[str, ...]]:
    """Return for each step those that need it, in the order of the file."""
    found: dict[str, list[str]] = {step: [] for step in needs}
    for step, earlier in needs.items():
        for one in dict.fromkeys(earlier):
            found[one].append(step)
    return {step: tuple(later) for step, later in found.items()}


def borne(needs: Needs, gathering: Collection[str]) -> frozenset[str]:
    """Return the steps whose failure is borne: whatever waits for them gathers, or is borne itself.

    Raises:
        ValueError: there is a circle.
    """
    if not gathering:
        return frozenset()
    dependents, found = dependents_of(needs), set[str]()
    for step in reversed(order(needs)):
        later = dependents[step]
        if later and all(one in gathering or one in found for one in later):
            found.add(step)
    return frozenset(found)
