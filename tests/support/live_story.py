"""A story that goes on by itself: what a command sends is decided at once, and agents answer as the test said beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from connectors.broker import Broker, Delivery, Producer
from signalbox.cli import session
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from tests.support.fleets import agent
from tests.support.story import T0, Story
from tests.support.workflow_world import NAMES

STEP_MS: Final = 100

Answer = Callable[[Envelope], Mapping[str, Any]]


class LiveStory(Story):
    """Agents in `answers` answer each task `STEP_MS` later; one whose answer has only `detail` gives up; others stay silent."""

    def __init__(self, rules: Rulebook, answers: Mapping[str, Answer]) -> None:
        super().__init__(rules)
        self.answers_of = dict(answers)
        self.received: list[Envelope] = []
        self.at = 0
        self.is_running = True

    def now(self) -> Any:
        """The story's time, as commands read the clock."""
        return from_epoch_ms(max(self.now_ms, T0 + self.at))

    def take(self, message: Envelope) -> None:
        """Decide a message that is on the topic already, and whatever follows from it."""
        self.received.append(message)
        if not self.is_running:
            return
        self.at += STEP_MS
        self.decide(message, at=self.at)
        self.go_on()

    def go_on(self) -> None:
        """Let every agent that answers do so, until nobody has anything to say."""
        while agent := next((one for one in self.tasks if one in self.answers_of), None):
            data = self.answers_of[agent](self.tasks[agent])
            self.at += STEP_MS
            if set(data) == {"detail"}:
                self.fails(agent, str(data["detail"]), at=self.at)
            else:
                self.answers(agent, data, at=self.at)

    def as_broker(self) -> Broker:
        """The broker that commands find: what they write to `agent_messages` reaches the story."""
        return _Listening(self)  # type: ignore[return-value]


class _Listening:
    def __init__(self, story: LiveStory) -> None:
        self._story = story

    def producer(self) -> Producer:
        return _Producer(self._story)  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._story.broker, name)


class _Producer:
    def __init__(self, story: LiveStory) -> None:
        self._story = story
        self._inner = story.broker.producer()

    def send(self, topic: str, *, key: bytes, value: bytes, headers: Any = None) -> Delivery:
        self._story.now_ms = max(self._story.now_ms, T0 + self._story.at)
        delivery = self._inner.send(topic, key=key, value=value, headers=headers)
        if topic == "agent_messages":
            self._story.take(Envelope.from_json(value))
        return delivery

    def close(self) -> None:
        self._inner.close()


def live(
    patch: Any,
    definitions: Sequence[WorkflowDefinition],
    answers: Mapping[str, Answer],
    *,
    agents: Sequence[AgentDefinition] = (),
    **policy: Any,
) -> LiveStory:
    """A live story of `NAMES` (or `agents`) with these workflows, active in its registry; commands find it instead of Kafka.

    `patch` is pytest's monkeypatch.
    """
    agents = agents or [agent(name, [], closed=False) for name in NAMES]
    fleet = Fleet(
        FleetPolicy.model_validate({"name": "test", **policy}),
        {one.name: one for one in agents},
        {one.name: one for one in definitions},
    )
    active = ActiveSet.of([fleet])
    story = LiveStory(Rulebook(Rules.compile(active, EnginePolicy())), answers)
    patch.setattr(session, "open_broker", lambda _: story.as_broker())
    patch.setattr(session, "require_broker", lambda _: None)
    patch.setattr(session, "now", story.now)
    patch.setattr(session, "ensure_agent_topics", lambda *_: None)
    session.change_registry(
        session.load_settings(), lambda state: state.activated(active, removed_at=story.now())
    )
    return story
