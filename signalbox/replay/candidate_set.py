"""The set that would be active with the candidate definitions: each folder in place of the fleet of its name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from signalbox.definitions.fleet import ActiveSet, Fleet


def with_candidates(active: ActiveSet | None, candidates: Sequence[Fleet]) -> ActiveSet:
    """Return `active` with `candidates` in place of the fleets of their names; other fleets stay as they are.

    An agent that a candidate declares is the candidate's, whoever had it; a fleet that is left without agents goes.

    Raises:
        ValueError: two candidates declare the same agent, or are of one name.
    """
    names = [fleet.name for fleet in candidates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"two folders of definitions are fleet {twice!r}; give one of each"
        raise ValueError(msg)
    declared = {agent for fleet in candidates for agent in fleet.agents}
    kept = {fleet.name: fleet for fleet in candidates}
    ordered = [kept.pop(fleet.name, fleet) for fleet in _fleets(active, declared, set(names))]
    return ActiveSet.of([*ordered, *kept.values()])


def _fleets(active: ActiveSet | None, declared: set[str], replaced: set[str]) -> Iterable[Fleet]:
    if active is None:
        return
    for name, policy in active.policies.items():
        agents = {
            agent: definition
            for agent, definition in active.agents.items()
            if active.fleet_of[agent] == name and agent not in declared
        }
        if agents or name in replaced:
            yield Fleet(policy, agents)
