"""The set that would be active with the candidate definitions: each folder in place of the fleet of its name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from signalbox.definitions.fleet import ActiveSet, Fleet


def with_candidates(active: ActiveSet | None, candidates: Sequence[Fleet]) -> ActiveSet:
    """Return `active` with `candidates` in place of the fleets of their names; other fleets stay as they are.

    An agent or workflow that a candidate declares is the candidate's, whoever had it; a fleet that is left without agents goes,
    and so does a workflow that is left without one of its agents.

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
    declared_workflows = {name for fleet in candidates for name in fleet.workflows}
    before = _fleets(active, declared, declared_workflows, set(names))
    ordered = [kept.pop(fleet.name, fleet) for fleet in before]
    return ActiveSet.of([*ordered, *kept.values()])


def _fleets(
    active: ActiveSet | None,
    declared: set[str],
    declared_workflows: set[str],
    replaced: set[str],
) -> Iterable[Fleet]:
    for fleet in () if active is None else active.fleets():
        agents = {name: one for name, one in fleet.agents.items() if name not in declared}
        workflows = {
            name: one
            for name, one in fleet.workflows.items()
            if name not in declared_workflows and one.agents <= agents.keys()
        }
        if agents or fleet.name in replaced:
            yield Fleet(fleet.policy, agents, workflows)
