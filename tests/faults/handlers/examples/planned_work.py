"""The handlers of the fault runs' plans: who plans, who does the tasks, and who puts the results together.

A request carries its own plan, and what goes wrong with it: `trouble` maps a task's id, `plan` or `answer` to `once` (the first
time only) or `refuse` (always, and for good). What is made names all that it was made from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from examples.fault_agents import have_effect, note_handled

from agents.outbox import Outbox
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Task


async def plan(task: Task, context: Context) -> Mapping[str, Any]:
    """Answer with the request's own tasks; in trouble, with a plan whose tasks need each other in a circle."""
    note_handled(task, context)
    have_effect(task, context)
    first, *others = task.data["tasks"]
    kind = task.data["trouble"].get("plan")
    # Whoever is asked again is told why, as `context`.
    if kind == "refuse" or (kind == "once" and "context" not in task.data):
        first = {**first, "needs": [others[-1]["id"]]}
    return {"tasks": [first, *others]}


async def work(task: Task, context: Context) -> HandlerResult:
    """Do one task: the answer says which, of which request, and from which results."""
    given = {name: _made(one) for name, one in task.data["results"].items()}
    parts = ", ".join(f"{name}={given[name]}" for name in sorted(given))
    made = f"{task.data['task']} of {task.data['request']} ({parts})"
    return await _do(task, context, task.data["task"], made)


async def tell(task: Task, context: Context) -> HandlerResult:
    """Put all results together, in the order in which they are given."""
    lines = [
        f"{one['id']} by {one['agent']}, {one['status']}: {_made(one['result'])}"
        for one in task.data["results"]
    ]
    return await _do(task, context, "answer", "; ".join(lines))


async def _do(task: Task, context: Context, name: str, made: str) -> HandlerResult:
    note_handled(task, context)
    await asyncio.sleep(task.data["seconds"])
    kind = task.data["trouble"].get(name)
    if kind == "refuse" or (kind == "once" and _is_first(task, context, name)):
        detail = f"{name} fails because the request asks for it"
        return Terminal("handler_failed", detail, is_permanent=kind == "refuse")
    have_effect(task, context)
    return Reply({"made": made})


def _is_first(task: Task, context: Context, name: str) -> bool:
    """Whether this is the first task that was given for `name`; so it stays however often it is handled."""
    stumbles = Outbox(context.outbox_dir.parent / "stumbles")
    put = stumbles.put(task.conversation_id, name, task.id.encode(), suffix=".txt")
    return put.path.read_text() == task.id


def _made(result: Mapping[str, Any] | None) -> str:
    return "nothing" if result is None else str(result["made"])
