"""Flow health over HTTP: the same numbers as from the topics, at a cost that does not grow with what is over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from connectors.topic_reader import read_topics
from signalbox.cli import session
from signalbox.cli.facts import facts_of
from signalbox.cli.flow_facts import window_of
from signalbox.cli.health import read_window
from signalbox.cli.main import app
from signalbox.flow.window import MINUTE_MS, Span
from signalbox.gateway.flow import FlowHealth
from signalbox.gateway.parts import Parts
from signalbox.gateway.readmodel import flow as by_sql
from signalbox.gateway.readmodel.flow import flow_window
from signalbox.gateway.readmodel.minutes import MinuteCounts
from signalbox.topics import agent_tasks
from tests.support.fleets import message
from tests.support.flow_story import END, MINUTE, flow_story
from tests.support.gateway import caught_up, client_of, parts, parts_of
from tests.support.live_story import LiveStory
from tests.support.recorded_run import RecordedRun, Wild
from tests.support.story import T0
from tests.unit.test_readmodel import AGENTS, FLEET

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    return flow_story(monkeypatch)


@pytest.fixture
def made(story: LiveStory, tmp_path: Path) -> Parts:
    return parts_of(tmp_path, story)


@pytest.fixture
async def client(made: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(made) as here:
        yield here


@pytest.mark.parametrize("minutes", [1, 15, 60, 90])
def test_topics_and_read_model_give_the_same_window(made: Parts, minutes: int) -> None:
    """Every number, every example, every minute."""
    settings = session.load_settings()
    by_facts = read_window(settings, session.reach_broker(settings), minutes * MINUTE_MS)

    by_tables, _ = FlowHealth(made).get(minutes)

    assert by_tables == by_facts


@pytest.mark.parametrize("seed", range(4))
def test_they_are_the_same_whatever_happened(tmp_path: Path, seed: int) -> None:
    """Wild runs, looked at now and then: models that fail, people, duplicates, answers out of order; and an hour later."""
    run = RecordedRun(FLEET)
    wild = Wild(run, [one.name for one in AGENTS], seed=seed)
    for one in AGENTS:
        run.broker.create_topic(agent_tasks(one.name), 2)
    names = ["agent_messages", "agent_decisions", "agent_outcomes", "agent_review"]
    names += ["agent_messages_dlq", *(agent_tasks(one.name) for one in AGENTS)]
    made = parts(tmp_path, run.broker)
    given: set[str] = set()
    counts = MinuteCounts()
    for number in range(200):
        wild.go(1)
        give_out(run, given)
        if number % 40 == 39:
            caught_up(made, run.broker)
            facts = facts_of(read_topics(run.broker, names), "")
            for end_ms in (run.now_ms + 1, run.now_ms + 70 * MINUTE_MS):
                span = Span.last(5 * MINUTE_MS, end_ms)
                by_facts = window_of(facts, span, living={"alpha"}, marked=())
                assert flow_window(made.read_model, counts, span, {"alpha"}) == by_facts


def give_out(run: RecordedRun, given: set[str]) -> None:
    """Put tasks on their topics that are not yet there."""
    producer = run.broker.producer()
    for task in (*run.answered, *run.tasks.values()):
        if task.id not in given:
            given.add(task.id)
            topic = agent_tasks(next(iter(task.targets), "alpha"))
            producer.send(topic, key=task.subject.encode(), value=task.to_json())


async def test_flow_health_is_answered_as_the_command_prints_it(client: httpx.AsyncClient) -> None:
    """One answer for both, for the same minutes."""
    told = (await client.get("/flow-health", params={"minutes": 60})).json()

    assert told == json.loads(CliRunner().invoke(app, ["health", "--last", "1h", "--json"]).stdout)
    assert told["findings"][0]["code"] == "agent-silent"


@pytest.mark.parametrize("minutes", ["0", "1441", "x"])
async def test_a_length_that_is_none_is_refused(client: httpx.AsyncClient, minutes: str) -> None:
    """From a minute to a day."""
    assert (await client.get("/flow-health", params={"minutes": minutes})).status_code == 422


async def test_flow_health_needs_a_key_that_may_read(made: Parts) -> None:
    """From elsewhere; as everything that says what messages are about."""
    async with client_of(made, address="10.0.0.9", connected=False) as client:
        assert (await client.get("/flow-health")).status_code == 401


async def test_without_a_read_model_it_is_not_there_yet(story: LiveStory, tmp_path: Path) -> None:
    """503, not a hundred points."""
    async with client_of(parts(tmp_path, story.as_broker(), now=story.now)) as client:
        assert (await client.get("/flow-health")).status_code == 503


def test_it_is_asked_once_for_everybody_who_looks(made: Parts) -> None:
    """Within five seconds the same window; then a new one, and a number of minutes of its own."""
    clock = [0.0]
    health = FlowHealth(made, now=lambda: clock[0])
    first = health.get(15)
    clock[0] = 4.9

    assert health.get(15) is not None
    assert health.get(15)[0] is first[0]
    assert health.get(16)[0] is not first[0]
    clock[0] = 5.0
    assert health.get(15)[0] is not first[0]


def test_minutes_are_read_again_only_where_records_came(made: Parts, story: LiveStory) -> None:
    """A minute that is over costs its size; one to which a late record came is counted anew."""
    counts = MinuteCounts()
    span = Span.last(15 * MINUTE_MS, T0 + END)
    read: list[str] = []

    def ask(connection):
        connection.set_trace_callback(read.append)
        return counts.read(connection, span)

    def values_read() -> int:
        found = sum("SELECT conversation, value" in one for one in read)
        read.clear()
        return found

    made.read_model.ask(ask)
    assert values_read() > 100
    made.read_model.ask(ask)
    assert values_read() == 0

    story.arrives(message("late-1", {"z": 1}, conversation="l", target="judge"), at=60 * MINUTE + 7)
    caught_up(made, story.broker)
    minutes = made.read_model.ask(ask)
    # Its message and its decision.
    assert values_read() == 2
    [one] = [m for m in minutes["message lead.submitted"] if m.begin_ms == T0 + 60 * MINUTE]
    assert one.number == 3


def test_a_number_that_is_no_json_stops_nothing(made: Parts, story: LiveStory) -> None:
    """NaN in somebody's data: the other messages are counted, and that one as from the topics."""
    value = message("nan-1", {"z": 1}, conversation="nan").to_json().replace(b'"z":1', b'"z":NaN')
    story.now_ms = T0 + END - 1000
    story.broker.producer().send("agent_messages", key=b"nan", value=value)
    caught_up(made, story.broker)
    story.now_ms = T0 + END

    settings = session.load_settings()
    by_facts = read_window(settings, session.reach_broker(settings), 15 * MINUTE_MS)

    assert by_facts.messages >= 103
    assert FlowHealth(made).get(15)[0] == by_facts


def test_more_open_conversations_than_are_looked_into_are_said(
    made: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound for the cost, and no silence about it."""
    whole, _ = FlowHealth(made).get(15)
    monkeypatch.setattr(by_sql, "MAX_OPEN", 2)

    some, _ = FlowHealth(made).get(15)

    assert (whole.left_out, some.messages) == (0, whole.messages)
    assert some.left_out > 0
