"""What follows from a run's records taken together: what is not waited for any more, how far each step is, when it came to rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from signalbox.cli.run_seen import Asked, Given, RunSeen, StepSeen
from signalbox.workflows.run import StepStatus


def settle(run: RunSeen) -> None:
    """Close what the run went on without, and say of each step how far it is; once, after all records were taken."""
    for step in run.steps.values():
        _close_within(step)
    for undoing in run.undoings.values():
        _close_followed(undoing.tries)
        if (over_ms := undoing.failed_ms or run.ended_ms) is not None:
            _close(undoing.tries, over_ms)
    undone_ms = [one.tries[0].at_ms for one in run.undoings.values() if one.tries]
    over_ms = min(undone_ms, default=run.ended_ms)
    run.stopped_ms = _stopped_ms(run, over_ms)
    for step in run.steps.values():
        if over_ms is not None:
            _close((*step.work, *step.judged), over_ms)
        if run.stopped_ms is not None:
            for asked in step.asked:
                asked.ended_ms = asked.ended_ms or max(run.stopped_ms, asked.at_ms)
        step.status = _status(run, step, is_over=over_ms is not None)
        _set_times(step)


def _close_within(step: StepSeen) -> None:
    """Close what the step itself went on without."""
    step.work.sort(key=lambda one: one.slot.number)
    step.judged.sort(key=lambda one: one.slot.number)
    step.asked.sort(key=lambda one: (one.number, one.at_ms))
    _close_followed(step.work)
    _close_followed(step.judged)
    if step.failed_ms is not None:
        _close((*step.work, *step.judged), step.failed_ms)


def _set_times(step: StepSeen) -> None:
    begins = [one.at_ms for one in step.everything]
    step.began_ms = min(begins, default=None)
    if step.status in {"done", "failed", "skipped"} and begins:
        ends = [one.ended_ms for one in step.everything]
        known = [one for one in (*ends, step.failed_ms) if one is not None]
        step.ended_ms = max(known, default=None)


def goes_on_after(run: RunSeen, failed: StepSeen) -> bool:
    """Say whether the run gave something out after a step had failed for good: then it was to be skipped."""
    if run.outcome is not None and run.outcome.status == "completed":
        return True
    return any(
        one.place > failed.failed_place
        for step in run.steps.values()
        for one in step.given
        if one.slot.kind == "step"
    )


def _stopped_ms(run: RunSeen, over_ms: int | None) -> int | None:
    if run.outcome is not None and run.outcome.status == "completed":
        return None
    times = [run.cancelled_ms, over_ms]
    times += [
        step.failed_ms
        for step in run.steps.values()
        if step.failed is not None and not goes_on_after(run, step)
    ]
    return min((one for one in times if one is not None), default=None)


def _status(run: RunSeen, step: StepSeen, *, is_over: bool) -> StepStatus:
    if step.skipped is not None:
        return "skipped"
    if step.failed is not None:
        return "skipped" if goes_on_after(run, step) else "failed"
    work = step.work[-1] if step.work else None
    asked = step.asked[-1] if step.asked else None
    if asked is not None and (work is None or asked.number > work.slot.number):
        return _status_of_asked(asked, is_stopped=run.stopped_ms is not None)
    if work is None:
        return "pending"
    judged = step.judged[-1] if step.judged else None
    if judged is not None and judged.place > work.place:
        return _status_of_judged(judged, is_over=is_over)
    if work.is_open:
        return "running"
    if work.ending == "answered":
        return "done"
    return "failed" if is_over else "pending"


def _status_of_asked(asked: Asked, *, is_stopped: bool) -> StepStatus:
    if asked.is_open:
        return "waiting_approval"
    return "skipped" if is_stopped else "pending"


def _status_of_judged(judged: Given, *, is_over: bool) -> StepStatus:
    if judged.is_open:
        return "validating"
    if judged.is_accepted:
        return "done"
    if is_over:
        return "failed"
    return "pending" if judged.is_accepted is False else "validating"


def _close_followed(given: Sequence[Given]) -> None:
    """Of two tasks for one purpose the first is over when the second is given out."""
    for one, following in pairwise(given):
        one.close(following.at_ms)


def _close(given: Sequence[Given], at_ms: int) -> None:
    for one in given:
        one.close(at_ms)
