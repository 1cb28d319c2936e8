"""Who listens to what, of one version of the definitions: filters compiled once and filed under event types.

A message asks only the filters whose types fit it, so a thousand subscribers to other types cost nothing. All filters of a message
share one budget of work, and one that cannot be answered is no match, whatever went wrong in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from signalbox.contracts.envelope import Envelope
from signalbox.definitions.filters.checks import Check
from signalbox.definitions.filters.event_types import TypeIndex
from signalbox.definitions.filters.specs import FilterSpec, compile_filters
from signalbox.definitions.filters.view import FilterFailureError, MessageView
from signalbox.definitions.specs import AgentDefinition

_Purpose = Literal["pause", "resume", "hear"]
_PURPOSES: Final[tuple[_Purpose, ...]] = ("pause", "resume", "hear")


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """What one agent wants to know of every message."""

    agent: str
    purpose: _Purpose
    check: Check

    @property
    def rank(self) -> tuple[int, str]:
        """Pauses first: they must not be what the budget of work ends before."""
        return _PURPOSES.index(self.purpose), self.agent


@dataclass(frozen=True, slots=True)
class Heard:
    """What the filters said of one message. Agents in name order; `failed` has (agent, why) of filters without an answer."""

    subscribers: tuple[str, ...] = ()
    pauses: tuple[str, ...] = ()
    resumes: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.subscribers or self.pauses or self.resumes or self.failed)


NOBODY: Final = Heard()


class Subscriptions:
    """Built once per version; asked once per message."""

    def __init__(self, agents: Mapping[str, AgentDefinition]) -> None:
        questions = [
            _Question(name, purpose, compile_filters(filters))
            for name in sorted(agents)
            for purpose, filters in _wanted(agents[name])
        ]
        self._index = TypeIndex((question, question.check.types) for question in questions)
        self._is_empty = not questions

    def of(self, message: Envelope) -> Heard:
        """Ask every filter that `message` may concern; never raises."""
        if self._is_empty:
            return NOBODY
        view = MessageView(message)
        said: dict[_Purpose, list[str]] = {"pause": [], "resume": [], "hear": []}
        failed: list[tuple[str, str]] = []
        for question in sorted(self._index.find(message.type), key=lambda one: one.rank):
            try:
                if question.check.asks(view):
                    said[question.purpose].append(question.agent)
            except FilterFailureError as error:
                failed.append((question.agent, str(error)))
            except (
                Exception
            ) as error:  # whatever a filter stumbles over, the message must go its way
                failed.append((question.agent, f"{type(error).__name__}: {error}"))
        return Heard(
            tuple(said["hear"]), tuple(said["pause"]), tuple(said["resume"]), tuple(failed)
        )


def _wanted(agent: AgentDefinition) -> list[tuple[_Purpose, tuple[FilterSpec, ...]]]:
    wanted: list[tuple[_Purpose, tuple[FilterSpec, ...]]] = []
    if agent.pause_on is not None:
        wanted.append(("pause", agent.pause_on))
    if agent.resume_on is not None:
        wanted.append(("resume", agent.resume_on))
    if agent.subscribe is not None:
        wanted.append(("hear", agent.subscribe.filters))
    return wanted
