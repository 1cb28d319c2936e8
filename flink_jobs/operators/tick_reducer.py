"""One tick through the reducer, with its rows rendered; whatever our own code raises costs one message, never the job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from flink_jobs.operators.rows import OutputRow, Rows
from signalbox import topics
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import from_epoch_ms
from signalbox.routing import ticks as t
from signalbox.routing.commands import Command, DropPending, DropResults, EmitDeadLetter, Resume
from signalbox.routing.rules import Rulebook
from signalbox.routing.state import Conversation

LOG = logging.getLogger(__name__)

NEVER_KEPT = -1
"""The sequence of a message that has none, because it crashed on arrival."""

Reduce = Callable[[Conversation, t.Tick, int, Rulebook], tuple[Conversation, tuple[Command, ...]]]


class Reduced(NamedTuple):
    """What one tick came to. `rows` are those of `commands`, in order."""

    state: Conversation
    commands: tuple[Command, ...]
    rows: list[OutputRow]


class TickReducer:
    """Reduces ticks so that no message can stop the job."""

    def __init__(self, reduce: Reduce, rows: Rows) -> None:
        self._reduce = reduce
        self._rows = rows

    def __call__(
        self, state: Conversation, tick: t.Tick, now_ms: int, rulebook: Rulebook
    ) -> Reduced:
        """Reduce `tick`. After a crash the message's dead letter comes out instead, by way of `DecisionCrashed`."""
        try:
            after, commands = self._reduce(state, tick, now_ms, rulebook)
            # Rendered here, before anything is carried out: a record that cannot be written is a crash as well.
            return Reduced(after, commands, self._rendered(commands))
        except Exception as error:
            # Our own mistake, whatever it is: it must not become a restart loop.
            LOG.exception("conversation %s: %s could not be reduced", state.id, type(tick).__name__)
            detail = f"{type(error).__name__}: {error}"[:500]
        match tick:
            case t.MessageArrived(message):
                return self(state, t.DecisionCrashed(NEVER_KEPT, message, detail), now_ms, rulebook)
            case t.MessageReady() | t.ModelAnswered() | t.ModelFailed():
                crashed = t.DecisionCrashed(tick.sequence, tick.message, detail)
                return self(state, crashed, now_ms, rulebook)
            case t.DecisionCrashed(sequence, message, _):
                return self._given_up(state, sequence, message, detail, now_ms)
            case t.Recalled() | t.TimePassed() if state.workflow is not None:
                return self(state, t.WorkflowCrashed(detail), now_ms, rulebook)
            case t.WorkflowCrashed() if state.workflow is not None:
                dropped = (DropResults(state.workflow.kept),)
                left = state.evolve(workflow=None, verdict="failed", verdict_detail=detail)
                return Reduced(left, dropped, [])
        return Reduced(state, (), [])

    def _given_up(
        self, state: Conversation, sequence: int, message: Envelope, detail: str, now_ms: int
    ) -> Reduced:
        """The last resort, without the reducer: the message ends here, the next one gets its turn."""
        waiting = tuple(entry for entry in state.waiting if entry.sequence != sequence)
        in_flight = state.in_flight
        if in_flight is not None and in_flight.sequence == sequence:
            in_flight = None
        commands: list[Command] = [EmitDeadLetter(_dead_letter(message, detail, now_ms))]
        if sequence != NEVER_KEPT:
            commands.append(DropPending(sequence))
        if in_flight is None and waiting:
            commands.append(Resume(waiting[0].sequence))
        after = state.evolve(in_flight=in_flight, waiting=waiting)
        return Reduced(after, tuple(commands), self._rendered(tuple(commands)))

    def _rendered(self, commands: tuple[Command, ...]) -> list[OutputRow]:
        rows = (self._rows.of(command) for command in commands)
        return [row for row in rows if row is not None]


def _dead_letter(message: Envelope, detail: str, now_ms: int) -> DeadLetter:
    return DeadLetter.of(
        message.to_json(),
        topic=topics.AGENT_MESSAGES,
        key=message.subject,
        message_id=message.id,
        conversation_id=message.subject,
        reason="handler_failed",
        detail=f"the orchestrator could not decide this message: {detail}",
        failed_at=from_epoch_ms(now_ms),
    )
