"""Conversations played through the real reducer onto an in-memory broker, at times the test states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.broker import ConsumedRecord
from connectors.memory import MemoryBroker
from connectors.topic_reader import read_in_time_order
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import Record
from signalbox.routing.commands import (
    AskModel,
    Command,
    Dispatch,
    DropResults,
    EmitDeadLetter,
    EmitOutcome,
    EmitReview,
    Recall,
    RecordDecision,
    Resume,
    StorePending,
    StoreResult,
)
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import Rulebook
from signalbox.routing.state import Conversation
from signalbox.routing.ticks import (
    MessageArrived,
    MessageReady,
    ModelAnswered,
    Origin,
    Recalled,
    Tick,
    TimePassed,
)
from signalbox.topics import TOPICS, agent_tasks, spec_of
from tests.support.fleets import reply

T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Story:
    """A broker whose topics fill as messages arrive and agents answer. `tasks` are those not answered yet."""

    def __init__(self, rules: Rulebook) -> None:
        self.now_ms = T0
        self.broker = MemoryBroker(now_ms=lambda: self.now_ms)
        for name in (*TOPICS, *map(agent_tasks, rules.current.agents if rules.current else ())):
            self.broker.create_topic(name, min(2, spec_of(name).partitions))
        self.tasks: dict[str, Envelope] = {}
        self._rules = rules
        self._states: dict[str, Conversation] = {}
        self._pending: dict[tuple[str, int], Envelope] = {}
        self._results: dict[tuple[str, int], Envelope] = {}
        self._question: tuple[str, AskModel] | None = None
        self._producer = self.broker.producer()

    def arrives(self, message: Envelope, *, at: int, decided_at: int | None = None) -> None:
        """Put `message` on `agent_messages` at `at` (ms after the start) and decide it at `decided_at`."""
        self._write("agent_messages", message.subject, message, at)
        self.decide(message, at=decided_at or at)

    def decide(self, message: Envelope, *, at: int) -> None:
        """Decide a message that is on the topic."""
        self._tick(message.subject, MessageArrived(message, Origin("agent_messages")), at)

    def answers(self, agent: str, data: Mapping[str, Any], *, at: int, **more: Any) -> None:
        """Let `agent` answer its open task at `at`; decided five milliseconds later."""
        task = self.tasks.pop(agent)
        self.arrives(reply(task, data, **more), at=at, decided_at=at + 5)

    def fails(self, agent: str, detail: str, *, at: int, **more: Any) -> None:
        """Let `agent` give up its open task."""
        self.answers(agent, {"detail": detail}, at=at, kind="task.failed", **more)

    def time_passes(self, conversation: str, *, at: int) -> None:
        """Let the deadlines of a conversation that are due at `at` be noticed."""
        self._tick(conversation, TimePassed(), at)

    def model_says(self, answer: ChatAnswer, *, at: int) -> None:
        """Answer the open question."""
        assert self._question is not None
        conversation, question = self._question
        message = self._pending[conversation, question.sequence]
        self._tick(conversation, ModelAnswered(question.sequence, message, answer), at)

    def records(self, *topics: str) -> list[ConsumedRecord]:
        """Every record, or those of `topics`, in the order of time."""
        fixed = [name for name in TOPICS if name != "incoming_leads"]
        agents = [
            agent_tasks(name)
            for name in (self._rules.current.agents if self._rules.current else ())
        ]
        return read_in_time_order(self.broker, list(topics) or [*fixed, *agents])

    def _tick(self, conversation: str, tick: Tick, at: int) -> None:
        self.now_ms = T0 + at
        state = self._states.get(conversation) or Conversation(conversation)
        state, commands = reduce(state, tick, self.now_ms, self._rules)
        self._states[conversation] = state
        for command in commands:
            self._carry_out(conversation, command, at)

    def _carry_out(self, conversation: str, command: Command, at: int) -> None:
        match command:
            case Dispatch(agent, task):
                self.tasks[agent] = task
                self._write(agent_tasks(agent), conversation, task, at)
            case RecordDecision(decision):
                self._write("agent_decisions", conversation, decision, at)
            case EmitOutcome(outcome):
                self._write("agent_outcomes", conversation, outcome, at)
            case EmitReview(review):
                self._write("agent_review", conversation, review, at)
            case EmitDeadLetter(dead_letter):
                self._write("agent_messages_dlq", conversation, dead_letter, at)
            case StoreResult(sequence, message):
                self._results[conversation, sequence] = message
            case DropResults(sequences):
                for sequence in sequences:
                    del self._results[conversation, sequence]
            case Recall(sequences):
                kept = {one: self._results.get((conversation, one)) for one in sequences}
                self._tick(conversation, Recalled(kept), at)
            case StorePending(sequence, message):
                self._pending[conversation, sequence] = message
            case AskModel():
                self._question = (conversation, command)
            case Resume(sequence):
                ready = MessageReady(sequence, self._pending[conversation, sequence])
                self._tick(conversation, ready, at)
            case _:
                pass

    def _write(self, topic: str, key: str, record: Record, at: int) -> None:
        self.now_ms = T0 + at
        self._producer.send(topic, key=key.encode(), value=record.to_json())
