"""By which message a workflow is started: as in the engine the first by name of those that begin with its type and take its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.errors import UsageError


def unknown_workflow(name: str, known: Iterable[str]) -> str:
    """Say that there is no workflow `name`, with the nearest one, or those there are."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"no workflow {name!r}; {hint}"


def start_type(active: ActiveSet, name: str, data: Mapping[str, Any]) -> str:
    """Return the type of a message with `data` that starts the workflow `name`: the first of its `starts_on` that does.

    Raises:
        UsageError: there is no such workflow, its `input` does not take the data, or another workflow would start.
    """
    workflow = active.workflows.get(name)
    if workflow is None:
        names = ", ".join(sorted(active.workflows)) or "none"
        msg = f"{unknown_workflow(name, active.workflows)}; active: {names}"
        raise UsageError(msg)
    violations = workflow.input.contract.violations(dict(data))
    if violations:
        msg = (
            f"{name} does not take the data: {', '.join(violations)}; "
            f"`signalbox workflows show {name} --json` has its input"
        )
        raise UsageError(msg)
    first = {kind: _started_by(active, kind, data) for kind in workflow.starts_on}
    own = next((kind for kind, started in first.items() if started == name), None)
    if own is None:
        others = "; ".join(f"{kind} starts {started}" for kind, started in first.items())
        msg = (
            f"{name} would not start: of workflows that begin with one type and take the data, the first by name "
            f"starts ({others}); give {name} a type of its own in `starts_on`, or inputs that tell them apart, "
            "then `signalbox agents apply`"
        )
        raise UsageError(msg)
    return own


def _started_by(active: ActiveSet, kind: str, data: Mapping[str, Any]) -> str:
    return min(one.name for one in active.workflows.values() if _takes(one, kind, data))


def _takes(workflow: WorkflowDefinition, kind: str, data: Mapping[str, Any]) -> bool:
    return kind in workflow.starts_on and workflow.input.contract.accepts(dict(data))
