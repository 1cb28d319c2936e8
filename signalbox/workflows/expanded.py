"""A compiled workflow with the plans of a run in it: what the run goes by from the moment a plan is accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.planned import expand
from signalbox.workflows.run import PlannedTask, Plans

KEPT_EXPANSIONS: Final = 1_000


def with_plans(workflow: CompiledWorkflow, plans: Plans) -> CompiledWorkflow | None:
    """Return `workflow` with `plans` expanded and compiled; None where it has no place for them.

    The last `KEPT_EXPANSIONS` are remembered, because a run asks at every tick.
    """
    if not plans:
        return workflow
    try:
        return _expanded(_Asked(workflow.digest, workflow.fleet, tuple(plans.items()), workflow))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Asked:
    digest: str
    fleet: str
    plans: tuple[tuple[str, tuple[PlannedTask, ...]], ...]
    workflow: CompiledWorkflow = field(compare=False)


@lru_cache(maxsize=KEPT_EXPANSIONS)
def _expanded(asked: _Asked) -> CompiledWorkflow:
    expanded = expand(asked.workflow.definition, dict(asked.plans))
    return CompiledWorkflow.compile(expanded, asked.fleet)
