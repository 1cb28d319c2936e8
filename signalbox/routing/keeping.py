"""Tasks whose agents ask to be watched: what they were made of is kept, and when they must have been acknowledged.

An agent asks with `limits.acknowledge_seconds` or `on_silence: reroute`. A task of any other agent costs nothing here: no state, no
byte. What is kept lies in `results`, one write when the task is given and one removal when it is over (or acknowledged, where that is
all that was waited for).
"""

from __future__ import annotations

from signalbox.contracts.envelope import Envelope
from signalbox.routing.commands import StoreResult
from signalbox.routing.kept import KeptTask
from signalbox.routing.rules import CompiledAgent
from signalbox.routing.turn import Turn


def keep(
    turn: Turn, task_id: str, agent: CompiledAgent, message: Envelope, sender: str | None
) -> None:
    """Keep `message`, of which the open task was made, if its agent asks for it: it may have to be decided again."""
    if not agent.is_watched:
        return
    sequence = turn.state.next_sequence
    turn.evolve(next_sequence=sequence + 1)
    turn.emit(StoreResult(sequence, message))
    turn.keep_task(task_id, KeptTask(sequence, sender, due_ms=_due_ms(turn, agent)))


def expect(turn: Turn, task_id: str, agent: CompiledAgent | None) -> None:
    """Note when a workflow's task must have been acknowledged; what it was made of the run knows itself."""
    if agent is not None and agent.definition.limits.acknowledge_seconds is not None:
        turn.keep_task(task_id, KeptTask(due_ms=_due_ms(turn, agent)))


def acknowledged(turn: Turn, task_id: str, agent: str) -> None:
    """Take a sign of life as what it also is: the task was taken up, and is not given to somebody else for want of one."""
    kept = turn.state.kept.get(task_id)
    if kept is None or not kept.due_ms:
        return
    rules = turn.rulebook.current
    known = None if rules is None else rules.agents.get(agent)
    if kept.sequence is not None and known is not None and known.on_silence == "reroute":
        turn.keep_task(task_id, kept.evolve(due_ms=0))
    else:
        turn.forget_task(task_id)


def _due_ms(turn: Turn, agent: CompiledAgent) -> int:
    seconds = agent.definition.limits.acknowledge_seconds
    return 0 if seconds is None else turn.now_ms + int(seconds * 1000)
