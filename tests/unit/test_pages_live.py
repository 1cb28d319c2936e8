"""The live page: which line each fact moves along, where agents stand, and what the levels say."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import anyio
import httpx
import pytest

from signalbox.contracts.envelope import Envelope
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.gateway.pages import hub as hub_module
from signalbox.gateway.pages.graph import MAX_AGENTS, OTHERS, graph_of
from signalbox.gateway.pages.hub import Hub
from signalbox.gateway.pages.levels import KEPT_SECONDS, Levels, agent_level, model_levels
from signalbox.gateway.pages.live import _told
from signalbox.gateway.pages.moves import MAX_LINES, moves_of, types_of
from signalbox.gateway.parts import Parts
from tests.support.fleets import message
from tests.support.gateway import AT, caught_up, client_of, parts
from tests.support.live_story import LiveStory, live

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    """Five agents of which one answers."""
    return live(monkeypatch, [], {"ann": lambda _: {"ok": 1}})


@pytest.fixture
def made(story: LiveStory, tmp_path: Path) -> Parts:
    return parts(tmp_path, story.as_broker(), now=story.now)


@pytest.fixture
async def client(made: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(made) as here:
        yield here


def given_to_ann(story: LiveStory, number: int = 1) -> None:
    """A message that names `ann`, which answers; nobody takes the answer."""
    sent = message(f"m-{number}", {"z": 1}, conversation=f"c-{number}", target="ann")
    story.arrives(sent, at=number * 10)
    story.at = number * 10
    story.go_on()


def beat(**more: object) -> Heartbeat:
    fields = {
        "agent": "ann",
        "instance": "i",
        "active": 2,
        "max_concurrent": 4,
        "handled": 0,
        "failed": 0,
        "definitions": "d",
        "at": AT,
    }
    return Heartbeat.model_validate({**fields, **more})


def test_each_fact_moves_along_one_line(story: LiveStory, made: Parts) -> None:
    """From outside in, to the agent, back from it, and to where it ended; a decision is counted by its path."""
    caught_up(made, story.broker)
    begun = made.read_model.tail(None, 100).cursor
    given_to_ann(story)
    caught_up(made, story.broker)
    facts = made.read_model.tail(begun, 100).facts
    moves = moves_of(facts, types_of(facts))

    assert {name: moves.edges[name] for name in ("in", "to:ann", "from:ann")} == {
        "in": 1,
        "to:ann": 1,
        "from:ann": 1,
    }
    assert sum(moves.paths.values()) == len(moves.lines)
    assert moves.paths["explicit"] == 1
    assert moves.lines[0]["agent"] == "ann"
    assert moves.lines[0]["conversation"] == "c-1"
    assert moves.lines[0]["type"] == "lead.submitted"


def test_of_many_decisions_the_newest_are_lines_and_all_are_counted(
    story: LiveStory, made: Parts
) -> None:
    """So many a batch as a person can read; the counts are whole."""
    caught_up(made, story.broker)
    begun = made.read_model.tail(None, 100).cursor
    for number in range(30):
        given_to_ann(story, number)
    caught_up(made, story.broker)
    moves = moves_of(made.read_model.tail(begun, 1000).facts, {})

    assert moves.edges["to:ann"] == 30
    assert len(moves.lines) == MAX_LINES
    assert sum(moves.paths.values()) > MAX_LINES
    assert moves.lines[-1]["type"] is None


def test_every_agent_has_a_place_and_two_lines() -> None:
    """One below the other without touching, one line to it and one from it."""
    graph = graph_of(["a", "b", "c"], {})
    tops = [place.y for place in graph.agents]

    assert [place.name for place in graph.agents] == ["a", "b", "c"]
    assert all(later - earlier > 54 for earlier, later in pairwise(tops))
    assert 0 <= tops[0] <= tops[-1] + 54 <= graph.height
    assert {"in", "ended", "asked", "dead", "to:b", "from:b"} <= set(graph.lines)


def test_of_a_thousand_agents_the_busiest_are_drawn() -> None:
    """The others are one node, so that the picture stays one."""
    names = [f"a{number:03}" for number in range(1000)]
    graph = graph_of(names, {"a777": 5, "a500": 1})

    assert len(graph.agents) == MAX_AGENTS
    assert {"a777", "a500", OTHERS} <= {place.name for place in graph.agents}
    assert len(graph.left_out) == 1000 - (MAX_AGENTS - 1)


@pytest.mark.parametrize(
    ("beats", "state"),
    [
        ([], "silent"),
        ([beat()], "active"),
        ([beat(paused=True)], "paused"),
        ([beat(paused=True), beat(instance="j")], "active"),
        ([beat(draining=True)], "draining"),
    ],
)
def test_an_agents_level_says_how_it_is(beats: list[Heartbeat], state: str) -> None:
    """Its processes together; what waits is what has no answer and is in nobody's hands."""
    level = agent_level("ann", beats, 7)

    assert level["state"] == state
    assert level["waiting"] == 7 - 2 * len(beats)
    assert level["at_most"] == 4 * len(beats)


def test_where_the_job_does_not_answer_nothing_is_claimed() -> None:
    """No figure is better than 0; an open breaker has its word."""
    assert model_levels({}) == {"model_in_flight": None, "model_waiting": None, "breaker": None}
    assert model_levels({"signalbox.model_breaker_open": 1})["breaker"] == "open"
    assert model_levels({"signalbox.model_breaker_open": 0})["breaker"] == "closed"


async def test_the_levels_are_asked_once_for_all_who_look(
    story: LiveStory, made: Parts, client: httpx.AsyncClient
) -> None:
    """Within two seconds the same answer; then a new one."""
    given_to_ann(story)
    caught_up(made, story.broker)
    clock = [0.0]
    levels = Levels(made, lambda: clock[0])
    first = levels.get()
    story.arrives(message("m-9", {"z": 1}, conversation="c-9", target="bob"), at=900)
    caught_up(made, story.broker)
    again = levels.get()
    clock[0] = 2.0
    later = levels.get()

    assert again is first
    waiting = {one["name"]: one["waiting"] for one in later["agents"]}
    assert (waiting["ann"], waiting["bob"]) == (0, 1)
    assert (later["broker"], later["dead_letters"]) == ("up", 0)


async def test_the_page_draws_every_agent_and_only_the_picture_is_asked_for_again(
    story: LiveStory, made: Parts, client: httpx.AsyncClient
) -> None:
    """Each active agent with its state; the part has no head."""
    caught_up(made, story.broker)
    page = (await client.get("/ui/live")).text
    part = (await client.get("/ui/live", headers={"hx-request": "true"})).text

    for name in ("ann", "bob"):
        assert f'data-agent="{name}"' in page
        assert f'data-edge="to:{name}"' in part
    assert "<html" in page
    assert "<html" not in part


async def test_a_job_that_answers_slowly_is_asked_once_and_keeps_nobody_waiting(
    made: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer counts from when it is there, and who comes while it is asked for gets the one before."""
    clock = [0.0]
    levels = Levels(made, lambda: clock[0])
    asked, answers = threading.Event(), threading.Event()
    answers.set()
    numbers = itertools.count()

    def ask() -> dict[str, int]:
        asked.set()
        assert answers.wait(30)
        clock[0] += 3 * KEPT_SECONDS
        return {"number": next(numbers)}

    monkeypatch.setattr(levels, "_ask", ask)
    assert levels.get() == {"number": 0}
    assert levels.get() == {"number": 0}

    clock[0] += KEPT_SECONDS
    answers.clear()
    asked.clear()
    thread = threading.Thread(target=levels.get)
    thread.start()
    assert asked.wait(30)
    assert levels.get() == {"number": 0}
    answers.set()
    thread.join(30)
    assert levels.get() == {"number": 1}


async def test_a_live_page_without_room_is_told_nothing_and_ends(
    made: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its browser comes again; levels alone would look like a picture in which nothing moves."""
    monkeypatch.setattr(hub_module, "MAX_LOOKERS", 0)
    told = _told(Hub(made.read_model.tail), Levels(made))

    with anyio.fail_after(20):
        assert [one.event async for one in told if one.event == "moves"] == []


async def test_the_stream_tells_levels_at_once_and_moves_as_they_come(
    story: LiveStory, made: Parts, client: httpx.AsyncClient
) -> None:
    """Both in one stream; nothing goes on once nobody reads."""
    caught_up(made, story.broker)
    hub = Hub(made.read_model.tail, poll_seconds=0.001)
    told = _told(hub, Levels(made))
    first = await anext(told)
    async with anyio.create_task_group() as group:
        group.start_soon(_go_on, story, made)
        with anyio.fail_after(20):
            while (event := await anext(told)).event != "moves":
                pass
        group.cancel_scope.cancel()
    await told.aclose()
    while hub.lookers:
        await anyio.sleep(0)

    assert first.event == "levels"
    assert json.loads(str(event.data))["edges"]["to:ann"] >= 1


async def _go_on(story: LiveStory, made: Parts) -> None:
    for number in range(1, 1000):
        given_to_ann(story, number)
        caught_up(made, story.broker)
        await anyio.sleep(0.01)


def test_an_agents_claim_alone_draws_no_line_that_is_not_there(
    story: LiveStory, made: Parts
) -> None:
    """What says that it is from an agent is counted on that agent's line; whether it is, the job decides."""
    caught_up(made, story.broker)
    begun = made.read_model.tail(None, 100).cursor
    forged = message("f-1", {"z": 1}).model_copy(update={"source": "agent/nobody"})
    story.arrives(Envelope.from_json(forged.to_json()), at=5)
    caught_up(made, story.broker)
    moves = moves_of(made.read_model.tail(begun, 100).facts, {})

    assert moves.edges["from:nobody"] == 1
    assert "in" not in moves.edges
