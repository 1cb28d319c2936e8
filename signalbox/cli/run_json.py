"""A workflow's run for programs: times are RFC 3339, durations whole milliseconds, what is not known or not yet is null."""

from __future__ import annotations

from typing import Any

from signalbox.cli.run_rows import took_ms
from signalbox.cli.run_seen import Asked, Given, RunSeen, StepSeen, Undoing
from signalbox.cli.run_shape import Shape
from signalbox.contracts.record import from_epoch_ms, rfc3339


def run_json(run: RunSeen, shape: Shape, *, now_ms: int) -> dict[str, Any]:
    """Write a run: its steps in the order of their needs, and what was undone in the order in which that began.

    `stuck` names the steps whose agents were to answer before `now_ms`. `needs` of a step is there where its definition is known;
    `status` of the run is its outcome's, or `running`, `stopping`, `compensating`.
    """
    return {
        "name": run.name,
        "status": run.status,
        "started_by": run.start_id,
        **_span(run.began_ms, run.ended_ms),
        "definitions": run.digest,
        "cancelled": run.cancelled,
        "stuck": list(run.stuck(now_ms)),
        "steps": [_step(run, one, shape) for one in shape.order],
        "compensations": [_undoing(one) for one in run.undoings.values()],
    }


def _step(run: RunSeen, step_id: str, shape: Shape) -> dict[str, Any]:
    step = run.steps.get(step_id) or StepSeen(step_id, 0)
    needs = {"needs": list(shape.needs[step_id])} if shape.is_known else {}
    last = step.work[-1] if step.work else None
    return {
        "id": step_id,
        "agent": step.agent or shape.agents.get(step_id),
        "status": run.status_of(step),
        "attempt": len(step.work),
        **_span(step.began_ms, step.ended_ms),
        "work_ms": step.worked_ms,
        "due_at": _at(_due_ms(step)),
        **needs,
        "slot": last.slot.text if last is not None else None,
        "detail": step.failed or step.skipped,
        "tasks": [_given(one) for one in step.work],
        "judgements": [{**_given(one), "accepted": one.is_accepted} for one in step.judged],
        "approvals": [_asked(one) for one in step.asked],
    }


def _undoing(undoing: Undoing) -> dict[str, Any]:
    first, last = (undoing.tries[0], undoing.tries[-1]) if undoing.tries else (None, None)
    is_over = undoing.status != "compensating" and last is not None
    return {
        "step": undoing.step,
        "agent": last.agent if last is not None else None,
        "status": undoing.status,
        "attempt": len(undoing.tries),
        **_span(
            first.at_ms if first is not None else None,
            last.ended_ms if is_over and last is not None else None,
        ),
        "slot": last.slot.text if last is not None else None,
        "detail": undoing.failed,
    }


def _given(one: Given) -> dict[str, Any]:
    return {
        "slot": one.slot.text,
        "agent": one.agent,
        "ending": one.ending,
        **_span(one.at_ms, one.ended_ms),
        "work_ms": one.worked_ms,
        "detail": one.detail,
    }


def _asked(one: Asked) -> dict[str, Any]:
    return {
        "token": one.token,
        "reason": one.reason,
        **_span(one.at_ms, one.ended_ms),
        "deadline": _at(one.due_ms),
        "default": one.default,
        "answer": one.answer,
    }


def _due_ms(step: StepSeen) -> int | None:
    due = [one.due_ms for one in step.everything if one.is_open]
    return min((one for one in due if one is not None), default=None)


def _span(began_ms: int | None, ended_ms: int | None) -> dict[str, Any]:
    return {
        "started_at": _at(began_ms),
        "ended_at": _at(ended_ms),
        "ms": took_ms(began_ms, ended_ms),
    }


def _at(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else rfc3339(from_epoch_ms(moment_ms))
