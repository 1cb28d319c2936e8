"""A gateway in this process: the real application over a broker of the test, called through ASGI without a socket."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from connectors.broker import Broker, Producer
from connectors.memory import MemoryBroker
from connectors.topic_reader import read_topics
from signalbox.gateway.access import Access, Keyless
from signalbox.gateway.app import create_app
from signalbox.gateway.definitions import Definitions
from signalbox.gateway.keys import KeyRing
from signalbox.gateway.parts import Parts
from signalbox.gateway.publisher import Publisher
from signalbox.gateway.rate import RateLimit
from signalbox.gateway.readmodel.follower import FIXED_TOPICS
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import ReadModel
from signalbox.gateway.readmodel.store import Store
from signalbox.routing.rules import EnginePolicy
from signalbox.settings import Settings
from signalbox.topics import TOPICS, agent_tasks, full_name
from tests.support.live_story import LiveStory

AT = datetime(2026, 1, 2, tzinfo=UTC)
LOOPBACK = "127.0.0.1"


def memory_broker(now_ms: Callable[[], int] = lambda: 0) -> MemoryBroker:
    """A broker in memory with every fixed topic; its records are of `now_ms`, ms since 1970."""
    broker = MemoryBroker(now_ms)
    for name, spec in TOPICS.items():
        broker.create_topic(name, spec.partitions)
    return broker


def parts(
    folder: Path,
    broker: Broker,
    *,
    make_producer: Callable[[], Producer] | None = None,
    keyless: Keyless = "loopback",
    per_second: float = 1e6,
    ack_seconds: float = 10.0,
    max_waiting: int = 10_000,
    settings: Settings | None = None,
    now: Callable[[], datetime] = lambda: AT,
) -> Parts:
    """Return the parts of a gateway with its files in `folder`."""
    numbers = itertools.count(1)
    read_model = ReadModel(ReadModelPlace(folder / "readmodel"))
    return Parts(
        settings=settings or Settings(_env_file=None, home=folder),  # type: ignore[call-arg]
        broker=broker,
        publisher=Publisher(
            make_producer or broker.producer, ack_seconds=ack_seconds, max_waiting=max_waiting
        ),
        access=Access(KeyRing(folder / "keys.json", lambda: next(numbers)), keyless),
        rate=RateLimit(per_second),
        read_model=read_model,
        definitions=Definitions(read_model, EnginePolicy()),
        lag_of=lambda _: 0,
        engine_levels=dict,
        make_task_topic=lambda _: None,
        now=now,
        new_id=lambda prefix: f"{prefix}-{next(numbers)}",
    )


@asynccontextmanager
async def client_of(
    made: Parts, *, address: str = LOOPBACK, connected: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, as from `address`; with `connected` once it takes messages."""
    app = create_app(made)
    transport = httpx.ASGITransport(app, client=(address, 5000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client,
    ):
        while connected and (await client.get("/health")).status_code != 200:
            pass
        yield client


def caught_up(made: Parts, broker: Broker, prefix: str = "") -> None:
    """Let the read model read everything that is on the topics now."""
    place = ReadModelPlace(made.settings.home.absolute() / "readmodel")
    with Store(place.current(), prefix) as store:
        known = {topic for topic, _ in store.offsets()}
        topics = {full_name(prefix, topic) for topic in FIXED_TOPICS} | known
        store.take(read_topics(broker, sorted(topics)))
        tasks = [full_name(prefix, agent_tasks(name)) for name in store.agents()]
        there = [name for name in tasks if broker.log_reader().partitions(name)]
        store.take(read_topics(broker, there))


def parts_of(folder: Path, story: LiveStory) -> Parts:
    """Return parts over a story's broker and clock, whose read model has read everything up to now."""
    made = parts(folder, story.as_broker(), now=story.now)
    caught_up(made, story.broker)
    return made
