"""The reducer with its commands carried out in memory: what the Flink operator does, without Flink, for tests and what-if replay.

State goes through its encoded form at every step, so what does not survive a checkpoint does not survive here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.routing.commands import (
    AskModel,
    Command,
    Count,
    Dispatch,
    DropPending,
    DropResults,
    EmitDeadLetter,
    EmitOutcome,
    EmitReview,
    PublishEvent,
    Recall,
    RecordDecision,
    Resume,
    SetPaused,
    StorePending,
    StoreResult,
)
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import Rulebook
from signalbox.routing.state import Conversation
from signalbox.routing.ticks import (
    AgentFailed,
    DefinitionsReady,
    MessageArrived,
    MessageReady,
    ModelAnswered,
    ModelFailed,
    Origin,
    Recalled,
    Tick,
    TimePassed,
)
from signalbox.topics import AGENT_MESSAGES


@dataclass
class Simulation:
    """Many conversations under one rulebook. Read the lists; call the methods as the world would."""

    rulebook: Rulebook
    now_ms: int = 1_700_000_000_000
    blobs: dict[str, bytes] = field(default_factory=dict)
    pending: dict[tuple[str, int], Envelope] = field(default_factory=dict)
    results: dict[tuple[str, int], Envelope] = field(default_factory=dict)
    questions: dict[str, AskModel] = field(default_factory=dict)
    dispatches: list[Dispatch] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    paused: dict[str, bool] = field(default_factory=dict)
    events: list[Envelope] = field(default_factory=list)

    def state_of(self, conversation_id: str) -> Conversation:
        """Return the conversation as state holds it; a new one where it holds none."""
        blob = self.blobs.get(conversation_id)
        return Conversation(conversation_id) if blob is None else Conversation.decode(blob)

    def send(self, message: Envelope) -> None:
        """Let `message` arrive."""
        self._tick(message.subject, MessageArrived(message, Origin(AGENT_MESSAGES)))

    def answer(self, conversation_id: str, answer: ChatAnswer) -> None:
        """Let the model answer the open question of a conversation."""
        sequence = self.questions.pop(conversation_id).sequence
        message = self.pending[conversation_id, sequence]
        self._tick(conversation_id, ModelAnswered(sequence, message, answer))

    def fail(
        self,
        conversation_id: str,
        detail: str = "model down",
        *,
        is_retryable: bool = True,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Let the open model call of a conversation fail."""
        sequence = self.questions.pop(conversation_id).sequence
        message = self.pending[conversation_id, sequence]
        self._tick(
            conversation_id,
            ModelFailed(sequence, message, detail, is_retryable, retry_after_seconds),
        )

    def pass_time(self, seconds: float) -> None:
        """Move the clock and wake every conversation whose deadline is due."""
        self.now_ms += int(seconds * 1000)
        for conversation_id in list(self.blobs):
            due_ms = self.state_of(conversation_id).next_deadline_ms()
            if due_ms is not None and due_ms <= self.now_ms:
                self._tick(conversation_id, TimePassed())

    def notice_failure(self, agent: str) -> None:
        """Let the heartbeats of `agent` have stopped, as every conversation then learns."""
        failed = {**self.rulebook.failed, agent: self.now_ms}
        self.rulebook = replace(self.rulebook, failed=failed)
        for conversation_id in list(self.blobs):
            self._tick(conversation_id, AgentFailed(agent))

    def notice_recovery(self, agent: str) -> None:
        """Let the heartbeats of `agent` come again."""
        failed = {name: at for name, at in self.rulebook.failed.items() if name != agent}
        self.rulebook = replace(self.rulebook, failed=failed)

    def activate(self, rulebook: Rulebook) -> None:
        """Take up new definitions and wake what waited for some."""
        self.rulebook = rulebook
        for conversation_id in list(self.blobs):
            self._tick(conversation_id, DefinitionsReady())

    def restart(self) -> None:
        """Lose every model call, as a crash does, and re-submit what durable state says is in flight."""
        self.questions.clear()
        for conversation_id, sequence in list(self.pending):
            in_flight = self.state_of(conversation_id).in_flight
            if in_flight and in_flight.sequence == sequence and in_flight.phase == "deciding":
                message = self.pending[conversation_id, sequence]
                self._tick(conversation_id, MessageReady(sequence, message))

    def _tick(self, conversation_id: str, tick: Tick) -> None:
        state = self.state_of(conversation_id)
        state, commands = reduce(state, tick, self.now_ms, self.rulebook)
        self.blobs[conversation_id] = state.encode()
        if state.in_flight is None:
            self.questions.pop(conversation_id, None)
        for command in commands:
            self._carry_out(conversation_id, command)

    def _carry_out(self, conversation_id: str, command: Command) -> None:
        match command:
            case StorePending(sequence, message):
                self.pending[conversation_id, sequence] = message
            case DropPending(sequence):
                del self.pending[conversation_id, sequence]
            case Resume(sequence):
                message = self.pending[conversation_id, sequence]
                self._tick(conversation_id, MessageReady(sequence, message))
            case StoreResult(sequence, message):
                self.results[conversation_id, sequence] = message
            case DropResults(sequences):
                for sequence in sequences:
                    del self.results[conversation_id, sequence]
            case Recall(sequences):
                found = {one: self.results.get((conversation_id, one)) for one in sequences}
                self._tick(conversation_id, Recalled(found))
            case AskModel():
                self.questions[conversation_id] = command
            case _:
                self._keep(command)

    def _keep(
        self,
        command: Dispatch
        | RecordDecision
        | EmitOutcome
        | EmitDeadLetter
        | EmitReview
        | SetPaused
        | PublishEvent
        | Count,
    ) -> None:
        match command:
            case Dispatch():
                self.dispatches.append(command)
            case RecordDecision(decision):
                self.decisions.append(decision)
            case EmitOutcome(outcome):
                self.outcomes.append(outcome)
            case EmitDeadLetter(dead_letter):
                self.dead_letters.append(dead_letter)
            case EmitReview(review):
                self.reviews.append(review)
            case SetPaused(pause):
                self.paused[pause.agent] = pause.paused
            case PublishEvent(event):
                self.events.append(event)
            case Count(name):
                self.counts.append(name)
