"""The research fleet behind the command line: what a command sends is planned, done by the fleet's own handlers, and answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from connectors.chat_model import ChatModel
from signalbox.cli import session
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.definitions.fleet import ActiveSet
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from tests.support.crew import Crew
from tests.support.live_story import Answer, LiveStory
from tests.support.tasks import context_of


def research(
    patch: Any, home: Path, model: ChatModel | None = None, **answers: Answer | None
) -> LiveStory:
    """A live story of the fleet, its files below `home/outbox`; of `answers`, None is an agent that stays silent.

    `patch` is pytest's monkeypatch.
    """
    crew = Crew("research", context_of(home / "outbox", model))
    active = ActiveSet.of([crew.fleet])
    said: dict[str, Answer | None] = {name: _handled(crew) for name in crew.fleet.agents} | answers
    story = LiveStory(
        Rulebook(Rules.compile(active, EnginePolicy())),
        {name: answer for name, answer in said.items() if answer is not None},
    )
    patch.setenv("SIGNALBOX_HOME", str(home))
    find(patch, story, active)
    return story


def find(patch: Any, story: LiveStory, active: ActiveSet) -> None:
    """Let commands find `story` instead of Kafka, with `active` in its registry."""
    patch.setattr(session, "open_broker", lambda _: story.as_broker())
    patch.setattr(session, "require_broker", lambda _: None)
    patch.setattr(session, "now", story.now)
    patch.setattr(session, "ensure_agent_topics", lambda *_: None)
    session.change_registry(
        session.load_settings(), lambda state: state.activated(active, removed_at=story.now())
    )


def _handled(crew: Crew) -> Callable[[Envelope], Mapping[str, Any]]:
    def answer(task: Envelope) -> Mapping[str, Any]:
        answered = crew.handle(task)
        if answered.type == TASK_FAILED:
            return {"detail": answered.data["detail"]}
        return answered.data

    return answer
