"""The orchestrator's events in the reducer: published when a run ends, and only heard when they come back.

An event gives rise to no further one: it starts no workflow, and the answers of agents never do. So there are at most as many events
of runs as there are messages from outside. Heard, its conversation ends `completed`; unheard, nothing is written and nothing kept,
because nobody asked for it and no fact is lost: what it says is the outcome of another conversation.
"""

from __future__ import annotations

from signalbox.contracts.envelope import Envelope
from signalbox.contracts.events import (
    MAX_ERRORS,
    MAX_PARTICIPANTS,
    RunError,
    WorkflowEnded,
    new_event,
)
from signalbox.contracts.ids import event_id, seen_hash
from signalbox.contracts.outcome import Outcome
from signalbox.routing.commands import Count, PublishEvent
from signalbox.routing.hear import hear, notify
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.plan import Plan, plan_for
from signalbox.workflows.run import WorkflowRun


def publish_end(turn: Turn) -> None:
    """Publish how the run that ended in this turn came out, where its definition says `notify`."""
    if turn.ended is None:
        return
    run, outcome = turn.ended
    plan = plan_for(run, turn.rulebook)
    whom = None if plan is None else plan.definition.notify
    if plan is None or whom is None:
        return
    ended = WorkflowEnded(
        workflow=run.name,
        conversation=turn.state.id,
        status=outcome.status,
        notify=whom,
        participants=_participants(run, plan),
        result=outcome.result,
        errors=_errors(run, outcome),
    )
    name = event_id("workflow", turn.state.id, str(outcome.episode), run.start_id)
    kind = f"workflow.{outcome.status}"
    more = {"correlationid": run.start_id, "causationid": run.start_id}
    turn.emit(PublishEvent(new_event(name, kind, ended, turn.now_ms, **more)))


def take_event(turn: Turn, message: Envelope) -> None:
    """Give an event to whoever subscribes to it, and to whom it is to tell; the definitions are active."""
    rules = turn.rulebook.current
    if rules is None:
        return
    heard = rules.subscriptions.of(message)
    told = _to_tell(turn, message)
    if not heard and not told:
        turn.emit(Count("signalbox.events_unheard"))
        return
    if not turn.state.has_seen(seen_hash(message.id)):
        turn.mark_seen(message.id)
    if not turn.state.is_open:
        turn.begin_episode()
    workflow = rules.workflows.get(str(message.data.get("workflow")))
    if turn.state.fleet is None and workflow is not None:
        turn.evolve(fleet=workflow.fleet)
    before = len(turn.state.open)
    hear(turn, message, sender=None)
    notify(turn, message, told)
    given = len(turn.state.open) - before
    if given or heard.pauses or heard.resumes:
        turn.judge("completed", f"{message.type} was heard by {given}")
    else:
        turn.judge("none", f"nobody that subscribes to {message.type} could take it")


def _to_tell(turn: Turn, message: Envelope) -> tuple[str, ...]:
    """Return the active agents that took part in the run which `message` tells of, where all of them are to know."""
    rules = turn.rulebook.current
    names = message.data.get("participants")
    if rules is None or message.data.get("notify") != "participants" or not isinstance(names, list):
        return ()
    known = (one for one in names[:MAX_PARTICIPANTS] if isinstance(one, str))
    return tuple(one for one in dict.fromkeys(known) if one in rules.agents)


def _participants(run: WorkflowRun, plan: Plan) -> tuple[str, ...]:
    """Return everybody whom the run gave something: to do, to judge, or to undo."""
    found: set[str] = set()
    for step_id, step in run.steps.items():
        spec = plan.step(step_id)
        if step.given:
            found.add(spec.agent)
        if step.judged and spec.validate_by is not None:
            found.add(spec.validate_by.agent)
        was_undone = step.status in {"compensating", "compensated"} or step_id in run.not_undone
        if was_undone and spec.undo is not None:
            found.add(spec.undo.agent)
    return tuple(sorted(found)[:MAX_PARTICIPANTS])


def _errors(run: WorkflowRun, outcome: Outcome) -> tuple[RunError, ...]:
    """Return what went wrong: why the run is not completed, then each step that failed, skipped failures included."""
    whole = [] if outcome.status == "completed" else [RunError(detail=outcome.detail)]
    steps = [
        RunError(step=step_id, detail=step.detail)
        for step_id, step in run.steps.items()
        if step.status == "failed" or (step.status == "skipped" and step.given)
    ]
    return tuple([*whole, *steps][:MAX_ERRORS])
