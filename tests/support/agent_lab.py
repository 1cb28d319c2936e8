"""A runner on the in-memory broker with a clock that stands still: send tasks, await what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.clock import ManualClock, moment
from agents.intake import Intake
from agents.ledger import Ledger
from agents.runner import Runner
from agents.serving import AgentTopics, Serving
from agents.settle import Attempt
from agents.task import Context, Handler
from connectors.broker import CommittedOffset, Partition
from connectors.memory import MemoryBroker
from connectors.scripted_model import ScriptedChatModel
from connectors.topic_reader import read_topic
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from tests.support.fleets import agent

TOPICS = AgentTopics.of("worker", "")
GROUP = "agent_worker"
PATIENCE_SECONDS = 20.0


class AgentLab:
    """Everything around one agent `worker` that takes `{lead: …}`."""

    def __init__(self, partitions: int = 1, **limits: Any) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock.now_ms)
        self.broker.create_topic(TOPICS.tasks, partitions)
        self.broker.create_topic(TOPICS.messages)
        self.broker.create_topic(TOPICS.dead_letters)
        self.definition = agent("worker", ["lead"], limits=limits)
        self._producer = self.broker.producer()

    def task(self, number: int, key: str | None = None, **attributes: Any) -> Envelope:
        """A task, written to the topic."""
        subject = key or f"lead-{number}"
        envelope = Envelope.model_validate(
            {
                "id": f"task-{number}",
                "source": "orchestrator",
                "type": "task.assigned",
                "time": datetime(2026, 1, 1, tzinfo=UTC),
                "subject": subject,
                "data": {"lead": {"number": number}},
                **attributes,
            }
        )
        self.raw(envelope.to_json(), key=subject)
        return envelope

    def raw(self, value: bytes | None, key: str = "k") -> None:
        """Any value on the task topic."""
        self._producer.send(TOPICS.tasks, key=key.encode(), value=value)

    def messages(self) -> list[Envelope]:
        """What was committed to `agent_messages`."""
        return [
            Envelope.from_json(r.value or b"") for r in read_topic(self.broker, TOPICS.messages)
        ]

    def dead_letters(self) -> list[DeadLetter]:
        """What was committed to the dead letters."""
        return [
            DeadLetter.from_json(r.value or b"")
            for r in read_topic(self.broker, TOPICS.dead_letters)
        ]

    def committed(self, partition: int = 0) -> CommittedOffset | None:
        """Where the group stands."""
        return self.broker.committed(GROUP, Partition(TOPICS.tasks, partition))

    def runner(
        self, handler: Handler, *, instance: str = "0", ends_when_empty: bool = True
    ) -> Runner:
        """A runner that has not started."""
        return Runner(
            intake=Intake(self.broker, GROUP, TOPICS.tasks, instance),
            ledger=Ledger(self.broker, f"{GROUP}-{instance}"),
            serving=Serving.of(self.definition, handler),
            topics=TOPICS,
            contexts=self._context,
            clock=self.clock,
            ends_when_empty=ends_when_empty,
        )

    @asynccontextmanager
    async def running(self, handler: Handler, **options: Any) -> AsyncIterator[Runner]:
        """A runner at work; it is drained at the end."""
        runner = self.runner(handler, **options)
        work = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            runner.stop()
            await asyncio.wait_for(work, PATIENCE_SECONDS)

    def _context(self, attempt: Attempt, serving: Serving) -> Context:
        async def report(text: str, percent: float | None) -> None:
            return None

        return Context(
            agent=serving.definition.name,
            chat_model=ScriptedChatModel({}),
            model_timeout_seconds=1.0,
            outbox_dir=Path(),
            now=lambda: moment(self.clock),
            report_status=report,
        )


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(wait(), PATIENCE_SECONDS)


def numbers(messages: list[Envelope]) -> list[int]:
    """The numbers of the leads in `messages`."""
    found: list[Mapping[str, Any]] = [message.data["lead"] for message in messages]
    return [lead["number"] for lead in found]
