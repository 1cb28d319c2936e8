"""What tells the pages that something is new: one question for all who look, none while nobody does, nobody waits for the slow."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from sse_starlette import ServerSentEvent

from signalbox.cli.facts import Fact
from signalbox.gateway.keys import add_key, remove_key
from signalbox.gateway.pages import hub as hub_module
from signalbox.gateway.pages import stream
from signalbox.gateway.pages.hub import MAX_LOOKERS, Hub
from signalbox.gateway.pages.stream import _changes, _of_conversation
from signalbox.gateway.parts import Parts
from signalbox.gateway.problems import TooManyRequestsError
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import Cursor, ReadModel, Tail
from tests.support.fleets import message
from tests.support.gateway import AT, caught_up, client_of, parts, parts_of
from tests.support.live_story import LiveStory, live

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    return live(monkeypatch, [], {})


def test_the_tail_begins_now_and_is_told_once(story: LiveStory, tmp_path: Path) -> None:
    """Nothing of what was before; then each record once, the newest ones where there are too many; nothing of another file."""
    made = parts(tmp_path, story.as_broker())
    model = made.read_model
    story.arrives(message("m-0", {"z": 1}), at=0)
    caught_up(made, story.broker)
    begun = model.tail(None, 10)
    for number in range(1, 4):
        story.arrives(message(f"m-{number}", {"z": 1}, conversation=f"c-{number}"), at=number)
    caught_up(made, story.broker)
    later = model.tail(begun.cursor, 100)
    few = model.tail(begun.cursor, 2)

    assert begun.facts == ()
    assert {fact.conversation_id for fact in later.facts} == {"c-1", "c-2", "c-3"}
    assert (later.left_out, len(few.facts), few.left_out) == (0, 2, len(later.facts) - 2)
    assert few.facts == later.facts[-2:]
    assert model.tail(later.cursor, 10).facts == ()
    assert model.tail(Cursor("another", 0), 10) == Tail(later.cursor)


async def test_nobody_asks_while_nobody_looks() -> None:
    """The read model is asked from the first looker to the last, by one task for all of them."""
    asked = threading.Event()

    def tail(after: Cursor | None, limit: int) -> Tail:
        asked.set()
        return Tail(Cursor("f", 0))

    hub = Hub(tail, poll_seconds=0.001)
    assert not hub.is_asking
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(_look, hub)
        await anyio.to_thread.run_sync(asked.wait)
        assert (hub.lookers, hub.is_asking) == (3, True)
        group.cancel_scope.cancel()

    assert (hub.lookers, hub.is_asking) == (0, False)


async def _look(hub: Hub) -> None:
    async for _ in hub.follow():
        pass


async def test_a_page_hears_of_its_own_conversation(story: LiveStory, tmp_path: Path) -> None:
    """Once at the beginning, then when a record of it was read; others say nothing."""
    made = parts(tmp_path, story.as_broker())
    story.arrives(message("m-0", {"z": 1}), at=0)
    caught_up(made, story.broker)
    hub = Hub(ReadModel(ReadModelPlace(tmp_path / "readmodel")).tail, poll_seconds=0.001)
    heard = _changes(hub, _of_conversation("c-2"), 0)
    first = await anext(heard)
    with anyio.move_on_after(0.05):
        await anext(heard)
        pytest.fail("nothing had happened")
    heard = _changes(hub, _of_conversation("c-2"), 0)
    await anext(heard)
    async with anyio.create_task_group() as group:
        group.start_soon(_write, story, made)
        with anyio.fail_after(20):
            second = await anext(heard)
        group.cancel_scope.cancel()

    assert (first.event, second.event) == ("changed", "changed")


async def _write(story: LiveStory, made: Parts) -> None:
    for number in range(1, 1000):
        conversation = "c-2" if number > 3 else "c-1"
        story.arrives(message(f"m-{number}", {"z": 1}, conversation=conversation), at=number)
        caught_up(made, story.broker)
        await anyio.sleep(0.01)


async def test_what_comes_while_a_page_is_left_alone_is_told_after(
    story: LiveStory, tmp_path: Path
) -> None:
    """Two that come at once are one change and then another, so that the page ends with the last one."""
    made = parts(tmp_path, story.as_broker())
    caught_up(made, story.broker)
    hub = Hub(ReadModel(ReadModelPlace(tmp_path / "readmodel")).tail, poll_seconds=0.001)
    heard = _changes(hub, _of_conversation("c-1"), 0.05)
    await anext(heard)
    numbers: list[str] = []

    async def listen() -> None:
        while True:
            numbers.append(str((await anext(heard)).data))

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        with anyio.fail_after(20):
            for at in range(1, 4):
                story.arrives(message(f"m-{at}", {"z": 1}, conversation="c-1"), at=at)
                caught_up(made, story.broker)
                if at == 1:
                    while not numbers:
                        await anyio.sleep(0.001)
            while hub._number < 2 or int(numbers[-1]) < hub._number:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()

    assert numbers == sorted(set(numbers), key=int)
    assert int(numbers[-1]) == hub._number


async def test_one_more_than_can_be_served_is_told_to_come_later() -> None:
    """429 with a time to wait."""
    hub = Hub(lambda after, limit: Tail(Cursor("f", 0)))
    hub._lookers = MAX_LOOKERS

    with pytest.raises(TooManyRequestsError):
        hub.require_room()


async def test_of_many_who_come_at_once_no_more_are_served_than_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them asked while there was room: the stream of one too many ends at once, and its browser comes again."""
    monkeypatch.setattr(hub_module, "MAX_LOOKERS", 3)
    hub = Hub(lambda after, limit: Tail(Cursor("f", 0)), poll_seconds=0.001)
    for _ in range(8):
        hub.require_room()
    streams = [hub.follow(tells_begin=True) for _ in range(8)]
    with anyio.fail_after(20):
        begun = [await anext(one, None) for one in streams]
    lookers = hub.lookers
    for one in streams:
        await one.aclose()  # type: ignore[attr-defined]

    assert begun == [()] * 3 + [None] * 5
    assert (lookers, hub.lookers) == (3, 0)


async def test_a_question_that_fails_ends_nobodys_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the read model raises: who asks for everybody asks again, and what comes then is told."""
    monkeypatch.setattr(hub_module, "_REST_SECONDS", 0.001)
    errors: list[Exception] = [RuntimeError("a defect"), sqlite3.DatabaseError("malformed")]
    news = Fact("agent_messages", 0, 0, 0, "c-1", message("m-1", {"z": 1}))
    answers = iter([(), (news,)])

    def tail(after: Cursor | None, limit: int) -> Tail:
        if errors:
            raise errors.pop()
        return Tail(Cursor("f", 0), next(answers, ()))

    hub = Hub(tail, poll_seconds=0.001)
    told = hub.follow(tells_begin=True)
    with anyio.fail_after(20):
        assert await anext(told) == ()
        (batch,) = await anext(told)
    await told.aclose()  # type: ignore[attr-defined]

    assert batch.facts == (news,)


@pytest.mark.parametrize("path", ["/ui/stream", "/ui/live/stream"])
async def test_a_stream_ends_when_its_key_is_revoked(
    story: LiveStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It began with a key that may read; the next look finds none, and the answer is at its end."""
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.001)
    made = parts_of(tmp_path, story)
    file = tmp_path / "keys.json"
    key = add_key(file, "eye", ["read"], AT)
    async with client_of(made) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        request = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"localhost:8000"), (b"x-api-key", key.encode())],
            "client": ("203.0.113.7", 5000),
            "http_version": "1.1",
            "scheme": "http",
        }
        sent: list[dict[str, Any]] = []
        begun = anyio.Event()

        async def send(part: dict[str, Any]) -> None:
            sent.append(part)
            if part.get("body"):
                begun.set()

        async with anyio.create_task_group() as group:
            group.start_soon(app, request, anyio.sleep_forever, send)
            with anyio.fail_after(20):
                await begun.wait()
                assert remove_key(file, "eye")
                while sent[-1].get("more_body", True):
                    await anyio.sleep(0.001)
            group.cancel_scope.cancel()

    assert sent[0]["status"] == 200
    assert app.state.hub.lookers == 0


async def test_what_is_told_is_passed_on_until_it_ends(story: LiveStory) -> None:
    """Every event, while its reader may have them; nothing once not."""
    told = [ServerSentEvent(data=str(number)) for number in range(3)]

    async def teller() -> AsyncIterator[ServerSentEvent]:
        for one in told:
            yield one

    answers = iter([True] * 4)

    assert [one async for one in stream.allowed(teller(), lambda: True)] == told
    assert [one async for one in stream.allowed(teller(), lambda: next(answers, False))] == told[:2]
