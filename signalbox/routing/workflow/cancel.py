"""A run that somebody outside cancels: it stops as after a failure, and its outcome says who wanted it and why.

What runs comes to rest first, then what was done is undone where the workflow says so. Whoever may start a run may cancel it,
and can do no more with it: no step is given out, skipped or undone because of what a cancel's data says.
"""

from __future__ import annotations

from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import CANCEL_SLOT
from signalbox.routing.ticks import Origin
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.failure import stop
from signalbox.workflows.run import MAX_DETAIL_CHARS, WorkflowRun


def cancel(turn: Turn, message: Envelope, origin: Origin) -> None:
    """Stop the run of this conversation; data = {reason?, cancelled_by?, started_by?}, where the last is the start message's id.

    Where there is nothing to stop it is a dead letter `late`, and changes nothing. Its id is noted in any case: the same
    message again must not end a run that began meanwhile.
    """
    turn.mark_seen(message.id)
    run = turn.state.workflow
    if run is None:
        detail = (
            "no workflow runs in this conversation: none was started yet, or it has its outcome"
        )
        turn.dead_letter(message, "late", detail, origin=origin)
        return
    problem = _why_not(run, message.data.get("started_by"))
    if problem is not None:
        turn.dead_letter(message, "late", problem, origin=origin)
        return
    why = message.data.get("reason")
    said = f"cancelled by {message.named_by('cancelled_by')}"
    if isinstance(why, str) and why.strip():
        said = f"{said}: {why.strip()[:MAX_DETAIL_CHARS]}"
    turn.record(
        message,
        slot=CANCEL_SLOT,
        agent=NONE,
        path="human",
        reason=f"workflow {run.name}: {said}",
        candidates=None,
        definitions=run.digest,
    )
    stop(turn, "cancelled", said)


def _why_not(run: WorkflowRun, started_by: object) -> str | None:
    """Say why the run cannot be cancelled; None where it can."""
    if started_by is not None and started_by != run.start_id:
        return (
            f"data.started_by is {started_by!r:.80}; the workflow {run.name} that runs here was "
            f"started by {run.start_id}"
        )
    match run.phase:
        case "running":
            return None
        case "ended":
            return f"workflow {run.name} is over: {run.verdict}, {run.detail}"
        case "stopping" | "compensating":
            return (
                f"workflow {run.name} has stopped already and is "
                f"{'undone' if run.phase == 'compensating' else 'coming to rest'}: {run.detail}; "
                "a cancel changes nothing any more"
            )
