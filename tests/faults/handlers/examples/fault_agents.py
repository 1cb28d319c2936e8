"""The handler of the fault runs: it has an effect that must happen once, and does to its own process what the task says.

`data.do` may hold: `sleep` (seconds), `die` (how, at every attempt), `die_once` (how, after the effect and before the
answer, at the first attempt only). `how` is `exit`, `segv` or `kill` (what the kernel
does to a process that took all memory).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.outbox import Outbox
from agents.task import Context, Task


async def act(task: Task, context: Context) -> Mapping[str, Any]:
    """Note the call, have the effect, and answer with what the next contract wants, or with the end."""
    do = task.data.get("do", {})
    note_handled(task, context)
    await asyncio.sleep(do.get("sleep", 0))
    if "die" in do:
        _die(do["die"])
    have_effect(task, context)
    marker = context.outbox_dir.parent / f"died-{task.id}"
    if "die_once" in do and not marker.exists():
        marker.touch()
        _die(do["die_once"])
    return _answer(context.agent, task.data)


def note_handled(task: Task, context: Context) -> None:
    """Say that a handler was called."""
    _append(context.outbox_dir.parent / "handled.log", task)


def have_effect(task: Task, context: Context) -> None:
    """Have the effect of a task: a file of the outbox, once."""
    content = json.dumps({"task": task.id, "agent": context.agent, "process": os.getpid()})
    put = Outbox(context.outbox_dir).put(
        task.conversation_id, task.id, content.encode(), suffix=".json"
    )
    if put.is_new:
        # A second witness: had the outbox let it happen twice, two lines would say so.
        _append(context.outbox_dir.parent / "effects.log", task)


def _append(log: Path, task: Task) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{task.id}\n")


def _answer(agent: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    if agent == "opening":
        return {"a": data["o"], "n": data["n"]}
    if agent in ("ping", "pong"):
        other = "pong" if agent == "ping" or data.get("self") else "ping"
        return {
            other: data[agent] + data.get("step", 1),
            "step": data.get("step", 1),
            "self": data.get("self"),
        }
    return {"end": data["n"]}


def _die(how: str) -> None:
    if how == "segv":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(9)
