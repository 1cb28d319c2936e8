"""A run of the real reducer that is written to the topics of an in-memory broker as the job would: what replay reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.memory import MemoryBroker
from connectors.registry import publish
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import Record
from signalbox.definitions.fleet import ActiveSet
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from signalbox.topics import TOPICS
from tests.support.fleets import message, reply

T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class RecordedRun:
    """A broker that fills as conversations go on. `tasks` are those not answered yet, by their id."""

    def __init__(self, active: ActiveSet, engine: EnginePolicy | None = None) -> None:
        self.now_ms = T0
        self.broker = MemoryBroker(now_ms=lambda: self.now_ms)
        for name in TOPICS:
            self.broker.create_topic(name, TOPICS[name].partitions)
        publish(self.broker, active, topic_prefix="", applied_at=datetime(2026, 1, 1, tzinfo=UTC))
        self.world = Simulation(Rulebook(Rules.compile(active, engine or EnginePolicy())), T0)
        self.tasks: dict[str, Envelope] = {}
        self.answered: list[Envelope] = []
        self._producer = self.broker.producer()
        self._written = dict.fromkeys(("decisions", "outcomes", "reviews", "dead_letters"), 0)
        self._dispatched = 0

    def send(self, one: Envelope) -> None:
        """Write `one` to agent_messages and let it arrive a millisecond later."""
        self._write("agent_messages", one.subject, one)
        self.wait(1)
        self.world.send(one)
        self._flush()

    def wait(self, milliseconds: int) -> None:
        """Let time pass; deadlines that are due are reduced."""
        self.now_ms += milliseconds
        self.world.pass_time(milliseconds / 1000)
        self._flush()

    def answer(self, conversation: str, answer: ChatAnswer) -> None:
        """Answer a conversation's open question with what a model really said."""
        self.world.answer(conversation, answer)
        self._flush()

    def model_says(self, conversation: str, agent: str, **more: Any) -> None:
        """Answer a conversation's open question with `agent`, or with what is no answer."""
        confidence = more.pop("confidence", 0.9)
        said = {"agent": agent, "reason": f"it is for {agent}", "confidence": confidence}
        text = more.pop("text", orjson.dumps(said).decode())
        fields = {"model": "stub", "tokens_in": 300, "tokens_out": 20, "latency_ms": 5, **more}
        self.wait(5)
        if conversation in self.world.questions:
            self.answer(conversation, ChatAnswer(text=text, **fields))

    def model_fails(self, conversation: str, *, is_retryable: bool = False) -> None:
        """Let a conversation's open call fail."""
        self.world.fail(conversation, is_retryable=is_retryable)
        self._flush()

    def answers(self, task: Envelope, data: dict[str, Any], **more: Any) -> Envelope:
        """Let the agent of `task` answer it; the task stays known, so that it can be answered twice."""
        self.tasks.pop(task.id, None)
        self.answered.append(task)
        replied = reply(task, data, **more)
        self.send(replied)
        return replied

    def resolves(self, conversation: str, message_id: str, agent: str, **more: Any) -> None:
        """Let a person decide a parked message; `data` is what they make of its data."""
        data = {"message_id": message_id, "agent": agent, "resolved_by": "a person", **more}
        resolved = message(
            f"resolved-{message_id[:60]}-{self.now_ms}",
            data,
            conversation=conversation,
            type="review.resolved",
        )
        self.send(resolved)

    def _flush(self) -> None:
        for kind, topic in (
            ("decisions", "agent_decisions"),
            ("outcomes", "agent_outcomes"),
            ("reviews", "agent_review"),
            ("dead_letters", "agent_messages_dlq"),
        ):
            made: Sequence[Any] = getattr(self.world, kind)
            for record in made[self._written[kind] :]:
                self._write(topic, record.conversation_id, record)
            self._written[kind] = len(made)
        for dispatch in self.world.dispatches[self._dispatched :]:
            self.tasks[dispatch.task.id] = dispatch.task
        self._dispatched = len(self.world.dispatches)

    def _write(self, topic: str, key: str, record: Record) -> None:
        self._producer.send(topic, key=key.encode(), value=record.to_json())


class Wild:
    """A seeded run of everything that can happen to messages: models, failures, people, duplicates, replies out of order."""

    def __init__(self, run: RecordedRun, agents: Sequence[str], seed: int) -> None:
        self.run = run
        self._agents = tuple(agents)
        self._dice = random.Random(seed)
        self._sent: list[Envelope] = []
        self._number = 0

    def go(self, steps: int) -> None:
        """Take `steps` random steps."""
        for _ in range(steps):
            self.run.wait(self._dice.choices((0, 1, 40, 700, 25_000), (60, 20, 20, 20, 1))[0])
            self._dice.choices(
                (self._arrives, self._answers, self._model, self._again, self._person, self._fails),
                (3, 6, 8, 1, 2, 1),
            )[0]()

    def _data(self) -> dict[str, Any]:
        fields = self._dice.choice(({"lead": 1}, {"lead": 1, "report": 2}, {"mail": 1}, {"odd": 1}))
        return {name: self._dice.randrange(4) for name in fields}

    def _arrives(self) -> None:
        self._number += 1
        more: dict[str, Any] = {}
        if self._dice.random() < 0.15:
            names = (*self._agents, "nobody")
            more["target"] = ",".join(self._dice.sample(names, self._dice.choice((1, 1, 2))))
        conversation = f"c-{self._dice.randrange(8)}"
        sent = message(f"m-{self._number}", self._data(), conversation=conversation, **more)
        self._sent.append(sent)
        self.run.send(sent)

    def _answers(self) -> None:
        if not self.run.tasks:
            return
        task = self._dice.choice(list(self.run.tasks.values()))
        tokens = self._dice.choice((0, 0, 50, 400))
        kind = self._dice.choices(("", "mail.sent", "task.failed", "task.status"), (6, 2, 1, 1))[0]
        if self._dice.random() < 0.1:
            data = {"reason": "cannot say", "data": dict(task.data)}
            self.run.answers(task, data, kind="task.escalated", tokensused=tokens)
            return
        more = {"id": f"s-{self.run.now_ms}-{task.id[:40]}"} if kind == "task.status" else {}
        self._sent.append(
            self.run.answers(task, self._data(), kind=kind, tokensused=tokens, **more)
        )
        if kind == "task.status":
            self.run.tasks[task.id] = task

    def _model(self) -> None:
        questions = self.run.world.questions
        if not questions:
            return
        conversation = self._dice.choice(list(questions))
        names = questions[conversation].request.schema["properties"]["agent"]["enum"]
        if self._dice.random() < 0.15:
            self.run.model_says(conversation, "", text="not an answer")
            return
        self.run.model_says(
            conversation,
            self._dice.choice(names),
            confidence=self._dice.choice((0.9, 0.9, 0.2)),
            cached=self._dice.random() < 0.2,
        )

    def _again(self) -> None:
        if self._sent:
            self.run.send(self._dice.choice(self._sent))
        if self.run.answered and self._dice.random() < 0.5:
            self.run.answers(self._dice.choice(self.run.answered), {"late": 1}, id="late-one")

    def _person(self) -> None:
        for conversation in list(self.run.world.blobs):
            in_flight = self.run.world.state_of(conversation).in_flight
            if in_flight is not None and in_flight.phase == "parked":
                choice = self._dice.choice((*self._agents, "NONE"))
                edited = {"data": self._data()} if self._dice.random() < 0.4 else {}
                self.run.resolves(conversation, in_flight.message_id, choice, **edited)
                return

    def _fails(self) -> None:
        if self.run.world.questions:
            conversation = self._dice.choice(list(self.run.world.questions))
            self.run.model_fails(conversation, is_retryable=self._dice.random() < 0.5)
