"""What the routes work with: made once, given as arguments, so that tests give their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import Request

from connectors.broker import Broker
from signalbox.gateway.access import Access
from signalbox.gateway.definitions import Definitions
from signalbox.gateway.intake import Given
from signalbox.gateway.publisher import Publisher
from signalbox.gateway.rate import RateLimit
from signalbox.gateway.readmodel.queries import ReadModel
from signalbox.settings import Settings
from signalbox.topics import full_name


@dataclass(frozen=True, slots=True)
class Parts:
    """The gateway's parts.

    Args:
        settings: all of them.
        broker: for what is asked of Kafka itself.
        publisher: writes messages.
        access: who may call.
        rate: how fast.
        read_model: what the topics said so far.
        definitions: what the registry says.
        lag_of: agent → how many tasks it has not taken to an end; None where nobody says.
        engine_levels: what the job says of its model, by metric name; nothing where it does not answer.
        make_task_topic: makes the topic of an agent's tasks, where it is missing.
        now: the clock, in UTC.
        new_id: `prefix` → a fresh id.
    """

    settings: Settings
    broker: Broker
    publisher: Publisher
    access: Access
    rate: RateLimit
    read_model: ReadModel
    definitions: Definitions
    lag_of: Callable[[str], int | None]
    engine_levels: Callable[[], Mapping[str, int]]
    make_task_topic: Callable[[str], object]
    now: Callable[[], datetime]
    new_id: Callable[[str], str]

    def given(self) -> Given:
        """Return what a message is given that does not say it itself."""
        return Given(self.now(), self.new_id)

    def topic(self, name: str) -> str:
        """Return the full name of a topic."""
        return full_name(self.settings.kafka.topic_prefix, name)


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that serves a request."""
    return cast("Parts", request.app.state.parts)
