"""Tasks that are taken back: nobody acknowledged them in time, or their agent fell silent. They are decided again without it.

A task is only taken back where somebody else accepts what it was made of; otherwise it stays with its agent, whose topic still holds
it, until `task_seconds`. Each time costs a hop and leaves one agent out, so it comes to an end. A step of a workflow is given to the
agent that its definition names: taking it back is a failed attempt.
"""

from __future__ import annotations

from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.routing.arrive import take
from signalbox.routing.candidates import definition_of, handoffs_of, weigh
from signalbox.routing.commands import Count, Recall
from signalbox.routing.hear import end_listening, is_listener
from signalbox.routing.kept import Detour, KeptTask
from signalbox.routing.left_out import silent_agents
from signalbox.routing.state import OpenDispatch
from signalbox.routing.ticks import Origin
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.answers import silent
from signalbox.topics import AGENT_MESSAGES


def unacknowledged(turn: Turn) -> None:
    """Take back what should have been acknowledged by now."""
    for task_id, kept in turn.state.kept.items():
        dispatch = turn.state.open.get(task_id)
        if 0 < kept.due_ms <= turn.now_ms and dispatch is not None:
            turn.emit(Count("signalbox.tasks_unacknowledged"))
            _take_back(turn, task_id, dispatch, f"{dispatch.agent} did not acknowledge it in time")


def agent_failed(turn: Turn, agent: str) -> None:
    """Let the open tasks of an agent whose heartbeats stopped go the way its policy says."""
    rules = turn.rulebook.current
    known = None if rules is None else rules.agents.get(agent)
    if known is None or known.on_silence == "wait" or agent not in turn.rulebook.failed:
        return
    why = f"{agent} failed: its heartbeats stopped"
    for task_id, dispatch in turn.state.open.items():
        if dispatch.agent != agent:
            continue
        if known.on_silence == "fail":
            _fail(turn, task_id, dispatch, why)
        else:
            _take_back(turn, task_id, dispatch, why)


def decide_what_was_taken_back(turn: Turn) -> None:
    """Decide again what this turn took back, once what it was made of is at hand; ends every turn that took something back."""
    marked = {task_id: kept for task_id, kept in turn.state.kept.items() if kept.why}
    wanted = {kept.sequence for kept in marked.values() if kept.sequence is not None}
    if missing := wanted - turn.at_hand.keys():
        turn.emit(Recall(tuple(sorted(missing))))
        return
    for task_id, kept in marked.items():
        message = None if kept.sequence is None else turn.at_hand[kept.sequence]
        dispatch = turn.state.open.get(task_id)
        if message is None or dispatch is None:
            turn.forget_task(task_id)  # nothing to decide with: it waits for its agent
        else:
            _decide_again(turn, task_id, kept, dispatch.agent, message)


def _take_back(turn: Turn, task_id: str, dispatch: OpenDispatch, why: str) -> None:
    kept = turn.state.kept.get(task_id)
    run = turn.state.workflow
    step_id = None if run is None else run.step_of(task_id)
    if step_id is not None:
        turn.close_task(task_id)
        silent(turn, step_id, why)
    elif kept is not None and kept.sequence is not None:
        turn.keep_task(task_id, kept.evolve(due_ms=0, why=why))


def _fail(turn: Turn, task_id: str, dispatch: OpenDispatch, why: str) -> None:
    run = turn.state.workflow
    step_id = None if run is None else run.step_of(task_id)
    is_notice = turn.state.is_notice(task_id)
    turn.close_task(task_id)
    turn.emit(Count("signalbox.tasks_taken_back"))
    if step_id is not None:
        silent(turn, step_id, why, is_final=True)
    elif is_notice or is_listener(definition_of(dispatch.agent, turn.rulebook)):
        end_listening(turn, why)
    else:
        turn.judge("failed", why)


def _decide_again(turn: Turn, task_id: str, kept: KeptTask, agent: str, message: Envelope) -> None:
    rules = turn.rulebook.current
    if rules is None:
        return
    before = turn.state.detours.get(message.id, Detour({}))
    avoid = {**before.avoid, agent: kept.why}
    weighed = weigh(message.data, rules, handoffs_of(kept.sender, turn.rulebook))
    others = weighed.without({**silent_agents(turn, weighed), **avoid})
    if not others.accepted:
        turn.keep_task(task_id, kept.evolve(why="", due_ms=0))
        turn.record(
            message,
            slot=f"wait:{agent}",
            agent=NONE,
            path="contract",
            reason=f"{kept.why}; nobody else accepts the data, so the task waits for it",
            candidates=others,
        )
        return
    turn.close_task(task_id)
    turn.emit(Count("signalbox.tasks_taken_back"))
    detours = {**turn.state.detours, message.id: Detour(avoid, before.number + 1)}
    turn.evolve(detours=detours)
    take(turn, message, kept.sender, Origin(AGENT_MESSAGES))
