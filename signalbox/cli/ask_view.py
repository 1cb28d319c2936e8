"""What a person and a program see of `signalbox ask`: the run while it goes on, the answer, the files. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from signalbox.cli.ask_seen import PlannedTask, PromptSeen
from signalbox.cli.moments import duration
from signalbox.cli.run_shape import shape_of
from signalbox.cli.run_view import run_lines
from signalbox.cli.screen import Line
from signalbox.definitions.workflow import WorkflowDefinition


def live_lines(
    seen: PromptSeen, definition: WorkflowDefinition, *, sent_ms: int, now_ms: int, width: int
) -> Iterator[Line]:
    """Draw the run as it stands: each step and planned task with its status, its agent and its time."""
    if seen.run is None:
        yield Line(f"sent, {duration(max(0, now_ms - sent_ms))} ago", "dim")
        return
    shape = shape_of(seen.run, definition)
    yield from run_lines(seen.run, shape, start_ms=sent_ms, now_ms=now_ms, width=width)


def answer_lines(seen: PromptSeen, files: list[dict[str, Any]]) -> Iterator[Line]:
    """Write the answer, and where its files are."""
    for text in (seen.answer or "").splitlines():
        yield Line(text)
    for file in files:
        size = f"{file['width']} × {file['height']}, " if {"width", "height"} <= file.keys() else ""
        yield Line(f"{file['task']}: {file['path']}  ({size}{file.get('media_type', 'a file')})")


def files_of(plan: tuple[PlannedTask, ...], outbox: Path) -> list[dict[str, Any]]:
    """Return the files that tasks answered with; `path` leads there where the file is on this machine.

    An answer comes from an agent, so its path counts only below the outbox.
    """
    found: list[dict[str, Any]] = []
    for task in plan:
        file = (task.result or {}).get("file")
        if isinstance(file, Mapping) and isinstance(file.get("path"), str):
            found.append({"task": task.id, **file, "path": _path(file["path"], outbox)})
    return found


def as_json(
    seen: PromptSeen, *, conversation: str, seconds: float, files: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write everything for programs; `status` and `answer` are null where there is no outcome."""
    return {
        "conversation": conversation,
        "status": seen.status,
        "answer": seen.answer,
        "plan": [_task_json(task) for task in seen.plan],
        "seconds": round(seconds, 3),
        "tokens": 0 if seen.outcome is None else seen.outcome.tokens,
        "files": files,
    }


def why_not(seen: PromptSeen, conversation: str, timeout_seconds: float) -> str | None:
    """Say why there is no answer, and how to go on; None where there is one."""
    trace = f"signalbox trace {conversation}"
    if seen.not_started is not None:
        return f"not taken up: {seen.not_started}"
    if seen.outcome is None:
        return f"no outcome after {timeout_seconds:g} s; it goes on, look on with: {trace}"
    if seen.outcome.status != "completed":
        return f"{seen.outcome.status}: {seen.outcome.detail}; see how with: {trace}"
    if seen.answer is None:
        return f"completed without an `answer` in its result; see it with: {trace}"
    return None


def _path(path: str, outbox: Path) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        return path
    there = outbox / parts
    return str(there) if there.is_file() else path


def _task_json(task: PlannedTask) -> dict[str, Any]:
    result = {} if task.result is None else {"result": dict(task.result)}
    return {
        "id": task.id,
        "agent": task.agent,
        "task": task.task,
        "needs": list(task.needs),
        "status": task.status,
        "seconds": task.seconds,
        **result,
    }
