"""The gateway over the in-memory twin and over Kafka: what it acknowledges is there, once, and its read model shows it."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.broker import Broker
from connectors.kafka import KafkaBroker
from connectors.topic_reader import read_topic
from signalbox.contracts.envelope import Envelope
from signalbox.gateway.readmodel.follower import Follower, rebuild
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.store import Store
from signalbox.settings import Settings
from tests.support.gateway import client_of, memory_broker, parts

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True)
class Ground:
    """A broker with the fixed topics under a prefix."""

    broker: Broker
    settings: Settings

    @property
    def prefix(self) -> str:
        """Of the topics' names."""
        return self.settings.kafka.topic_prefix

    def messages(self) -> list[Envelope]:
        """All messages on `agent_messages`."""
        records = read_topic(self.broker, f"{self.prefix}agent_messages")
        return [Envelope.from_json(record.value or b"") for record in records]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """The twin, then the real broker."""
    if request.param == "memory":
        # Of now, as on the real one: whoever follows forgets by the clock what is older than its topic keeps.
        now_broker = memory_broker(lambda: int(time.time() * 1000))
        yield Ground(now_broker, Settings(_env_file=None, home=tmp_path))
        return
    real = request.getfixturevalue("broker")
    prefix = f"g{uuid.uuid4().hex[:8]}."
    real.create_topics(prefix=prefix)
    settings = Settings(
        _env_file=None,
        home=tmp_path,
        kafka={"bootstrap_servers": real.bootstrap_servers, "topic_prefix": prefix},
    )
    yield Ground(KafkaBroker(real.bootstrap_servers), settings)


@asynccontextmanager
async def gateway(ground: Ground, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway with its read model followed in a thread, as its process does."""
    stopping = threading.Event()
    place = ReadModelPlace.of(ground.settings)
    follower = Follower(
        ground.broker, ground.prefix, place, is_stopped=stopping.is_set, sleep=stopping.wait
    )
    thread = threading.Thread(target=follower.run)
    thread.start()
    try:
        made = parts(folder, ground.broker, settings=ground.settings)
        async with client_of(made) as client:
            yield client
    finally:
        stopping.set()
        await asyncio.to_thread(thread.join, 30)


async def until_shown(client: httpx.AsyncClient, path: str, **expected: Any) -> dict[str, Any]:
    """Ask until the answer has what is expected."""
    while True:
        answer = await client.get(path)
        shown = answer.json()
        if answer.status_code == 200 and expected.items() <= shown.items():
            return dict(shown)
        await asyncio.sleep(0.05)


async def test_what_is_acknowledged_is_on_the_topic_and_in_the_read_model(
    ground: Ground, tmp_path: Path
) -> None:
    """A hundred at once, each under its own id."""
    async with gateway(ground, tmp_path) as client:
        sent = [client.post("/events", json={"n": n}, headers={"ce-id": f"m-{n}"}) for n in range(100)]  # fmt: skip
        answers = await asyncio.gather(*sent)
        for answer in answers:
            await until_shown(client, answer.headers["location"], status="open")

    assert {answer.status_code for answer in answers} == {202}
    assert sorted(one.id for one in ground.messages()) == sorted(f"m-{n}" for n in range(100))


async def test_a_retry_is_the_same_message(ground: Ground, tmp_path: Path) -> None:
    """Twice on the topic at worst, under one id in one conversation: the job admits it once."""
    async with gateway(ground, tmp_path) as client:
        answers = [
            await client.post("/leads", json={"name": "Ada"}, headers={"idempotency-key": "k-1"})
            for _ in range(2)
        ]

    assert answers[0].json() == answers[1].json()
    assert {(one.id, one.subject) for one in ground.messages()} == {
        ("k-1", answers[0].json()["conversation_id"])
    }


async def test_a_lead_keeps_whatever_it_says(ground: Ground, tmp_path: Path) -> None:
    """Scripts, line breaks, any script of the world: data, never more."""
    lead = {"name": "<script>alert(1)</script>\r\nSet-Cookie: a=b", "note": "Ωmega 🚂 \u2028", "n": [1.5, None]}  # fmt: skip
    async with gateway(ground, tmp_path) as client:
        answer = await client.post("/leads", json=lead)
        shown = await until_shown(client, answer.headers["location"], status="open")

    assert shown["messages"][0]["data"] == {"lead": lead}


async def test_a_rebuild_from_the_oldest_record_equals_what_grew(
    ground: Ground, tmp_path: Path
) -> None:
    """On a real broker too, where markers of transactions take offsets."""
    async with gateway(ground, tmp_path) as client:
        for number in range(20):
            answer = await client.post("/events", json={"n": number})
        await until_shown(client, answer.headers["location"], status="open")
        listed = (await client.get("/conversations?limit=500")).json()["conversations"]
    place = ReadModelPlace.of(ground.settings)
    with Store(place.current(), ground.prefix) as store:
        grown = store.contents()
    rebuild(ground.broker, ground.prefix, place)

    with Store(place.current(), ground.prefix) as store:
        assert store.contents() == grown
    assert len(listed) == 20
