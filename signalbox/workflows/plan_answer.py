"""What a planning agent answered, checked like a workflow: the tasks, or what is wrong in words that the agent can act on.

Nothing is given out before the whole plan is sound. An answer of any size is told in a sentence; more tasks than are allowed are
counted, not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from signalbox.definitions.workflow import MAX_STEPS, MAX_TASK_ID_CHARS
from signalbox.workflows.graph import cycle
from signalbox.workflows.planned import planned_id
from signalbox.workflows.run import PlannedTask

MAX_DESCRIPTION_CHARS: Final = 4000
MAX_PROBLEMS: Final = 3
"""How many are told at once."""
_MAX_SUMMARY_CHARS: Final = 950
_SHOWN: Final = 40
_ID: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class RefusedPlan:
    """Why an answer is no plan."""

    problem: str


def read_plan(
    data: Mapping[str, Any],
    *,
    step_id: str,
    agents: Sequence[str],
    max_tasks: int,
    taken: Collection[str],
) -> tuple[PlannedTask, ...] | RefusedPlan:
    """Check `data`, which should be `{tasks: [{id, agent, description, needs: [id]}]}`.

    Args:
        data: the answer.
        step_id: the step that plans; its tasks become steps `<step_id>_<task id>`.
        agents: who may be given tasks.
        max_tasks: how many tasks there may be.
        taken: the steps that there are already.
    """
    tasks: Any = data.get("tasks")
    problem = _of_size(tasks, max_tasks, len(taken))
    if problem is not None:
        return RefusedPlan(problem)
    found = list(islice(_problems(tasks, step_id, agents, taken), MAX_PROBLEMS + 1))
    if found:
        more = ["and more is wrong"] if len(found) > MAX_PROBLEMS else []
        return RefusedPlan("; ".join((*found[:MAX_PROBLEMS], *more)))
    plan = tuple(
        PlannedTask(one["id"], one["agent"], tuple(dict.fromkeys(one.get("needs", ()))))
        for one in tasks
    )
    circle = cycle({task.id: task.needs for task in plan})
    if circle is not None:
        return RefusedPlan(f"tasks need each other in a circle: {_shown(' → '.join(circle), 120)}")
    return plan


def summary(plan: Sequence[PlannedTask]) -> str:
    """Tell a plan in a line: `3 tasks: a researcher; b researcher; c writer after a, b`."""
    parts: list[str] = []
    left = _MAX_SUMMARY_CHARS
    for task in plan:
        part = f"{task.id} {task.agent}" + (f" after {', '.join(task.needs)}" if task.needs else "")
        left -= len(part) + 2
        if left < 0:
            parts.append(f"and {len(plan) - len(parts)} more")
            break
        parts.append(part)
    return f"{len(plan)} {'task' if len(plan) == 1 else 'tasks'}: {'; '.join(parts)}"


def _of_size(tasks: Any, max_tasks: int, steps: int) -> str | None:
    if not isinstance(tasks, list):
        return f"`tasks` is {_kind(tasks)}; a list of {{id, agent, description, needs}} is needed"
    if not tasks:
        return "the plan has no tasks; at least one is needed"
    if len(tasks) > max_tasks:
        return f"{len(tasks)} tasks; at most {max_tasks} are allowed"
    if steps + len(tasks) > MAX_STEPS:
        return f"{len(tasks)} tasks besides {steps} steps; a run has at most {MAX_STEPS} steps"
    return None


def _problems(
    tasks: Sequence[Any], step_id: str, agents: Sequence[str], taken: Collection[str]
) -> Iterator[str]:
    ids = {one["id"] for one in tasks if isinstance(one, dict) and isinstance(one.get("id"), str)}
    before: set[str] = set()
    for number, task in enumerate(tasks, 1):
        if not isinstance(task, dict):
            yield f"task {number} is {_kind(task)}, not an object with id, agent, description, needs"
            continue
        name: Any = task.get("id")
        wrong = _wrong_id(name, before, step_id, taken)
        if wrong is not None:
            yield f"task {number}: {wrong}"
            continue
        before.add(name)
        told = f"task {name}"
        agent, description = task.get("agent"), task.get("description")
        if not isinstance(agent, str) or agent not in agents:
            yield f"{told}: agent is {_kind(agent)}; choose one of {_some(agents)}"
        if not isinstance(description, str) or not description.strip():
            yield f"{told}: description is {_kind(description)}; say what is to be done"
        elif len(description) > MAX_DESCRIPTION_CHARS:
            yield f"{told}: a description of {len(description)} characters; at most {MAX_DESCRIPTION_CHARS}"
        needs = task.get("needs", [])
        if not isinstance(needs, list):
            yield f"{told}: needs is {_kind(needs)}; a list of task ids is needed"
            continue
        unknown = next((one for one in needs if not isinstance(one, str) or one not in ids), None)
        if unknown is not None:
            yield f"{told} needs {_kind(unknown)}, which is no task of this plan"


def _wrong_id(
    name: Any, before: Collection[str], step_id: str, taken: Collection[str]
) -> str | None:
    if not isinstance(name, str) or not _ID.fullmatch(name) or len(name) > MAX_TASK_ID_CHARS:
        pattern = f"a letter, then letters, digits and underscores, in lower case, at most {MAX_TASK_ID_CHARS}"
        return f"id is {_kind(name)}; it is {pattern}"
    if name in before:
        return f"id {name!r} is there twice; ids are unique"
    if planned_id(step_id, name) in taken:
        return f"id {name!r} makes the step {planned_id(step_id, name)!r}, which there is already; choose another"
    return None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str):
        return repr(_shown(value, _SHOWN))
    return f"a {type(value).__name__}"


def _shown(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
