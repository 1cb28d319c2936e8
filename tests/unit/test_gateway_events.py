"""`POST /events` and `/leads` through the whole application: what is acknowledged, and what the broker's absence means."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request

from connectors.broker import BrokerError
from connectors.memory import MemoryBroker
from connectors.topic_reader import read_topic
from signalbox.contracts.envelope import Envelope
from signalbox.gateway import body
from signalbox.gateway.access import HEADERS
from signalbox.gateway.keys import add_key
from signalbox.gateway.problems import SlowBodyError
from signalbox.topics import AGENT_MESSAGES, MAX_ADMITTED_BYTES
from tests.support.gateway import AT, client_of, memory_broker, parts

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def broker() -> MemoryBroker:
    return memory_broker()


def written(broker: MemoryBroker) -> list[Envelope]:
    return [Envelope.from_json(r.value or b"") for r in read_topic(broker, AGENT_MESSAGES)]


async def test_an_acknowledged_event_is_on_the_topic_under_its_conversation(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """202 with id, conversation and where to look; the record's key is the conversation."""
    async with client_of(parts(tmp_path, broker)) as client:
        answer = await client.post("/events", json={"n": 1}, headers={"ce-type": "order.placed"})

    (message,) = written(broker)
    assert answer.status_code == 202
    assert answer.json() == {
        "id": message.id,
        "conversation_id": message.subject,
        "status": "published",
    }
    assert answer.headers["location"] == f"/conversations/{message.subject}"
    (record,) = read_topic(broker, AGENT_MESSAGES)
    assert record.key_text == message.subject
    assert record.headers["ce_id"] == message.id.encode()


async def test_a_lead_is_submitted(broker: MemoryBroker, tmp_path: Path) -> None:
    """`{id, conversation_id}`, as `/events`."""
    async with client_of(parts(tmp_path, broker)) as client:
        answer = await client.post("/leads", json={"name": "Ada", "email": "ada@example.org"})

    (message,) = written(broker)
    assert answer.status_code == 202
    assert answer.json()["id"] == message.id
    assert message.type == "lead.submitted"


async def test_many_at_once_are_each_acknowledged(broker: MemoryBroker, tmp_path: Path) -> None:
    """Batches lose nothing and mix nothing up."""
    async with client_of(parts(tmp_path, broker)) as client:
        sent = [
            client.post("/events", json={"n": n}, headers={"ce-id": f"m-{n}"}) for n in range(200)
        ]
        answers = await asyncio.gather(*sent)

    assert [answer.json()["id"] for answer in answers] == [f"m-{n}" for n in range(200)]
    assert sorted(message.id for message in written(broker)) == sorted(f"m-{n}" for n in range(200))


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{oops", {}, 422, "SB-101"),
        (b"x" * 10_000_000, {}, 413, "SB-102"),
        (b"{}", {"content-encoding": "gzip"}, 415, "SB-103"),
        (b"{}", {"content-type": "text/plain"}, 415, "SB-103"),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, 415, "SB-103"),
        (b"{}", {"origin": "https://evil.example"}, 403, "SB-106"),
        (b"{}", {"x-api-key": "sbx_wrong"}, 401, "SB-105"),
    ],
)
async def test_what_cannot_be_taken_is_a_problem_with_a_remedy(
    broker: MemoryBroker,
    tmp_path: Path,
    content: bytes,
    headers: Mapping[str, str],
    status: int,
    code: str,
) -> None:
    """problem+json with status, code, what was wrong and the next step; nothing is written."""
    async with client_of(parts(tmp_path, broker)) as client:
        answer = await client.post(
            "/events", content=content, headers={"content-type": "application/json", **headers}
        )

    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["type"] == f"urn:signalbox:{code}"
    assert told["detail"]
    assert told["remedy"]
    assert written(broker) == []


async def test_a_body_without_a_length_is_read_up_to_the_limit(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """Chunks beyond it are never asked for."""
    asked = 0

    async def endless() -> Any:
        nonlocal asked
        while asked < 1000:
            asked += 1
            yield b"x" * 65_536

    async with client_of(parts(tmp_path, broker)) as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/events", content=endless(), headers=headers)

    assert answer.status_code == 413
    assert asked <= MAX_ADMITTED_BYTES // 65_536 + 2


async def test_a_key_without_the_scope_is_refused(broker: MemoryBroker, tmp_path: Path) -> None:
    """403 names the scope; what decides for a person needs `decide` besides."""
    reader = add_key(tmp_path / "keys.json", "reader", ["read"], AT)
    sender = add_key(tmp_path / "keys.json", "sender", ["send"], AT)
    decided = {"ce-type": "review.resolved", "ce-subject": "c-1"}
    async with client_of(parts(tmp_path, broker)) as client:
        read = await client.post("/events", json={}, headers={"x-api-key": reader})
        sent = await client.post("/events", json={}, headers={"x-api-key": sender})
        decides = await client.post("/events", json={}, headers={"x-api-key": sender, **decided})

    assert [one.status_code for one in (read, sent, decides)] == [403, 202, 403]
    assert "send" in read.json()["detail"]
    assert "decide" in decides.json()["detail"]


async def test_a_caller_that_sends_too_fast_is_told_when_to_go_on(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """429 with Retry-After."""
    async with client_of(parts(tmp_path, broker, per_second=2)) as client:
        answers = [await client.post("/events", json={}) for _ in range(20)]

    assert 429 in {answer.status_code for answer in answers}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1


class Flaky:
    """A producer whose broker can go away: what is sent meanwhile is never acknowledged."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.is_away = False
        self.made = 0
        self.closed = 0

    def make(self) -> Any:
        if self.is_away:
            raise BrokerError("NoBrokersAvailable")
        self.made += 1
        return self

    def send(self, topic: str, **record: Any) -> Any:
        delivery = None if self.is_away else self.broker.producer().send(topic, **record)
        return Acknowledgement(delivery)

    def close(self) -> None:
        self.closed += 1


class Acknowledgement:
    def __init__(self, delivery: Any) -> None:
        self._delivery = delivery

    def result(self, timeout_seconds: float) -> tuple[int, int]:
        if self._delivery is None:
            raise BrokerError("KafkaTimeoutError: not acknowledged in time")
        place: tuple[int, int] = self._delivery.result(timeout_seconds)
        return place


async def until(client: httpx.AsyncClient, status: int) -> None:
    while (await client.get("/health")).status_code != status:
        await asyncio.sleep(0.01)


async def test_while_the_broker_is_away_nothing_is_acknowledged_and_it_recovers_by_itself(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """503 with Retry-After, at once after the first; then a new producer, and 202 again."""
    flaky = Flaky(broker)
    async with client_of(parts(tmp_path, broker, make_producer=flaky.make)) as client:
        assert (await client.post("/events", json={"n": 1})).status_code == 202
        flaky.is_away = True
        first = await client.post("/events", json={"n": 2}, headers={"ce-id": "m-2"})
        await until(client, 503)
        later = await client.post("/events", json={"n": 3})
        flaky.is_away = False
        await until(client, 200)
        again = await client.post("/events", json={"n": 2}, headers={"ce-id": "m-2"})

    assert [first.status_code, later.status_code, again.status_code] == [503, 503, 202]
    assert first.json()["code"] == "SB-052"
    assert first.headers["retry-after"] == "1"
    assert len(written(broker)) == 2
    assert (flaky.made, flaky.closed) == (2, 2)


async def test_a_gateway_that_starts_before_its_broker_waits_for_it(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """It answers 503 meanwhile, and does not end."""
    flaky = Flaky(broker)
    flaky.is_away = True
    made = parts(tmp_path, broker, make_producer=flaky.make)
    async with client_of(made, connected=False) as client:
        assert (await client.post("/events", json={})).status_code == 503
        flaky.is_away = False
        await until(client, 200)
        assert (await client.post("/events", json={})).status_code == 202


async def test_more_than_may_wait_for_the_broker_is_refused(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """429; those that wait are acknowledged when the broker goes on."""
    goes_on = threading.Event()

    class Slow(Flaky):
        def send(self, topic: str, **record: Any) -> Any:
            goes_on.wait(30)
            return super().send(topic, **record)

    make: Callable[[], Any] = Slow(broker).make
    async with client_of(parts(tmp_path, broker, make_producer=make, max_waiting=5)) as client:
        sent = [asyncio.create_task(client.post("/events", json={"n": n})) for n in range(8)]
        done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {429}
        goes_on.set()
        statuses = sorted([(await task).status_code for task in sent])

    assert statuses == [202] * 5 + [429] * 3
    assert len(written(broker)) == 5


async def test_what_is_there_when_it_stops_is_acknowledged_first(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """SIGTERM ends the gateway after the messages it has taken."""
    made = parts(tmp_path, broker)
    async with client_of(made) as client:
        request = asyncio.create_task(client.post("/events", json={"n": 1}))
        await asyncio.sleep(0)
        while not made.publisher.waiting:
            await asyncio.sleep(0)
        await made.publisher.stop()
        assert (await request).status_code == 202

    assert len(written(broker)) == 1


async def test_what_does_not_exist_is_a_problem_too(broker: MemoryBroker, tmp_path: Path) -> None:
    """404 and 405 of the framework have the same form; a mistake of ours tells nothing of the inside."""
    async with client_of(parts(tmp_path, broker)) as client:
        unknown = await client.get("/nothing/here")
        wrong = await client.put("/events", json={})

    assert (unknown.status_code, unknown.json()["code"]) == (404, "SB-100")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_a_mistake_of_ours_is_a_500_that_tells_nothing(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """The log has it."""

    def make() -> Any:
        return Flaky(broker)

    made = parts(tmp_path, broker, make_producer=make)
    async with client_of(made) as client:
        object.__setattr__(made, "new_id", None)
        answer = await client.post("/events", json={})

    assert (answer.status_code, answer.json()["code"]) == (500, "SB-000")
    assert "NoneType" not in answer.text


async def test_a_body_of_which_nothing_comes_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """408, also where not even the first byte came."""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)
    headers = {"content-type": "application/json", "content-length": "10"}

    async def never() -> Any:
        await asyncio.Event().wait()

    request = Request({"type": "http", HEADERS: headers}, never)
    with pytest.raises(SlowBodyError):
        await asyncio.wait_for(body.read_body(request, 100), 20)


async def test_a_client_that_goes_while_it_sends_is_no_mistake_of_ours() -> None:
    """Nothing is taken of it."""
    request = Request({"type": "http", HEADERS: {"content-type": "application/json"}}, disconnected)
    with pytest.raises(ClientDisconnect):
        await body.read_body(request, 100)


async def disconnected() -> Any:
    return {"type": "http.disconnect"}


class Bursting(Flaky):
    """A producer that raises what its client should not, in one of its calls, the first times."""

    def __init__(self, broker: MemoryBroker, where: str) -> None:
        super().__init__(broker)
        self.where = where
        self.left = 2

    def _burst(self, where: str) -> None:
        if where == self.where and self.left:
            self.left -= 1
            msg = "not an error of the broker"
            raise RuntimeError(msg)

    def make(self) -> Any:
        self._burst("make")
        return super().make()

    def send(self, topic: str, **record: Any) -> Any:
        self._burst("send")
        delivery = super().send(topic, **record)
        if self.where == "result" and self.left:
            delivery.result = lambda _: self._burst("result")
        return delivery

    def close(self) -> None:
        self._burst("close")
        super().close()


@pytest.mark.parametrize("where", ["make", "send", "result"])
async def test_an_error_that_nobody_expects_of_the_client_is_a_503_too(
    broker: MemoryBroker, tmp_path: Path, where: str
) -> None:
    """The caller is told, nothing is acknowledged, and the gateway goes on by itself."""
    bursting = Bursting(broker, where)
    if where == "make":
        bursting.left = 1
    async with asyncio.timeout(60):
        async with client_of(
            parts(tmp_path, broker, make_producer=bursting.make), connected=False
        ) as client:
            await until(client, 200)
            first = await client.post("/events", json={"n": 1})
            await until(client, 200)
            bursting.left = 0
            while (again := await client.post("/events", json={"n": 2})).status_code == 503:
                await until(client, 200)

    assert first.status_code == (202 if where == "make" else 503)
    assert again.status_code == 202
