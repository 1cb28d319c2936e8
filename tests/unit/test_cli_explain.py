"""`explain` beyond the record: the prompt proven by its digest, versions, what was left to spend, and the counterfactual."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.registry import publish
from signalbox.cli import explain, session
from signalbox.cli.main import app
from signalbox.contracts.decision import Decision
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from tests.support.fleets import agent, message
from tests.support.recorded_run import RecordedRun

runner = CliRunner()
BUDGETS = {"hops": 6, "tokens": 1000, "seconds": 60}


def fleet(**changes: Any) -> ActiveSet:
    """Three agents, two of which take the same data."""
    agents = (
        agent("research", ["lead"]),
        agent("outreach", ["lead", "report"], **changes),
        agent("nurture", ["lead", "report"]),
    )
    policy = FleetPolicy.model_validate({"name": "test", "budgets": BUDGETS})
    return ActiveSet.of([Fleet(policy, {one.name: one for one in agents})])


@pytest.fixture
def run(monkeypatch) -> RecordedRun:
    """A lead that is researched and then placed by a model; the commands are on its broker."""
    run = RecordedRun(fleet())
    for name in fleet().agents:
        run.broker.create_topic(f"agent_tasks_{name}", 1)
    run.send(message("m-1", {"lead": 1}, conversation="ada"))
    run.wait(2000)
    run.answers(run.tasks.popitem()[1], {"lead": 1, "report": 2}, id="m-2", tokensused=100)
    run.model_says("ada", "outreach")
    monkeypatch.setattr(session, "open_broker", lambda _: run.broker)
    return run


@pytest.fixture
def parked(monkeypatch) -> RecordedRun:
    """A lead of which the model was too unsure, so that it waits for a person."""
    policy = {"name": "test", "budgets": BUDGETS, "review": {"below_confidence": 0.6}}
    active = fleet()
    run = RecordedRun(active.with_policies({"test": FleetPolicy.model_validate(policy)}))
    for name in active.agents:
        run.broker.create_topic(f"agent_tasks_{name}", 1)
    run.send(message("m-1", {"lead": 1, "report": 2}, conversation="ada"))
    run.model_says("ada", "nurture", confidence=0.35)
    monkeypatch.setattr(session, "open_broker", lambda _: run.broker)
    return run


def details() -> dict[str, Any]:
    """The details of the model's decision."""
    result = runner.invoke(app, ["explain", "m-2", "--json"])
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert {"message_id", "message", "decisions", "reviews", "dead_letters"} <= value.keys()
    (found,) = value["details"]
    return found


def test_explain_renders_the_prompt_again_and_proves_it(run) -> None:
    """The question the model was asked, verified against the digest in the record."""
    found = details()

    assert found["prompt"]["verified"] is True
    assert "## nurture" in found["prompt"]["system"]
    assert '{"lead":1,"report":2}' in found["prompt"]["user"]
    assert found["definitions"] == {"is_known": True, "is_active": True}


def test_explain_says_what_was_left_to_spend(run) -> None:
    """One hop, the agent's and the model's tokens, and the seconds since the first dispatch are gone."""
    left = details()["budget_left"]

    assert (left["hops"], left["tokens"]) == (5, 1000 - 100 - 320)
    assert left["seconds"] == pytest.approx(60 - 2.006)


def test_explain_under_definitions_that_were_replaced_tells_the_prompt_of_then(run) -> None:
    """The version that decided is found by its digest, though another one is active."""
    changed = fleet(description="Writes to everybody.")
    publish(run.broker, changed, topic_prefix="", applied_at=datetime(2026, 1, 2, tzinfo=UTC))

    found = details()

    assert found["definitions"] == {"is_known": True, "is_active": False}
    assert found["prompt"]["verified"] is True
    assert "Writes to everybody" not in found["prompt"]["system"]


def test_explain_without_the_definitions_of_then_says_that_they_are_gone(run, monkeypatch) -> None:
    """Nothing is shown as the prompt that cannot be proven to be it."""
    forgotten = RecordedRun(fleet(description="Writes to everybody."))
    read = run.broker.log_reader
    is_registry = {"agent_registry": forgotten.broker.log_reader}

    class _Reader:
        def __init__(self) -> None:
            self.inner = read()

        def partitions(self, topic):
            self.inner = is_registry.get(topic, read)()
            return self.inner.partitions(topic)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    monkeypatch.setattr(run.broker, "log_reader", _Reader)
    text = runner.invoke(app, ["explain", "m-2"]).stdout
    found = details()

    assert found["definitions"] == {"is_known": False, "is_active": False}
    assert (found["prompt"], found["budget_left"]) == (None, None)
    assert "gone from the registry" in text


def test_explain_tells_a_person_the_counterfactual(run) -> None:
    """The nearest other agents and what each lacked stand below the decision."""
    text = runner.invoke(app, ["explain", "m-2"]).stdout

    assert "nurture: accepts the data, was not chosen" in text
    assert "research: report: not expected" in text
    assert "left         5 hops, 580 tokens" in text
    assert "its digest is the recorded one" in text


def test_explain_of_what_waits_for_a_person_shows_the_question_and_the_answer(parked) -> None:
    """A model was asked, so prompt and answer are there, and how much surer it had to be."""
    value = json.loads(runner.invoke(app, ["explain", "m-1", "--json"]).stdout)
    text = runner.invoke(app, ["explain", "m-1"]).stdout

    (found,) = value["details"]
    assert (found["slot"], found["prompt"]["verified"]) == ("review", True)
    assert found["budget_left"]["tokens"] == 1000 - 320
    assert found["counterfactual"]["alternatives"][0] == {
        "agent": "nurture",
        "lacks": "score",
        "fields": [],
        "score_gap": 0.25,
    }
    assert json.loads(value["reviews"][0]["answer"])["agent"] == "nurture"
    assert "nurture needed 0.25 more confidence" in text
    assert "## outreach" in text


def test_explain_of_a_persons_decision_keeps_what_the_model_said_before(parked) -> None:
    """Both are shown: the decision by a person, and the question that led to it."""
    parked.resolves("ada", "m-1", "outreach")

    value = json.loads(runner.invoke(app, ["explain", "m-1", "--json"]).stdout)
    text = runner.invoke(app, ["explain", "m-1"]).stdout

    assert [one["slot"] for one in value["details"]] == ["route", "review"]
    assert value["details"][0]["counterfactual"]["summary"] == "a person decided"
    assert text.index("human: a person decided") < text.index('"agent":"nurture"')


def test_explain_names_the_calibration_and_the_shortlist(run, monkeypatch) -> None:
    """By what a scorer decided, and of whom a reading model was asked: both stand in the record."""
    facts = explain.read_facts(session.load_settings(), run.broker)
    for fact in facts:
        if isinstance(fact.body, Decision) and fact.body.message_id == "m-2":
            more = {"calibration": "fitted:90:abc", "shortlist": ("outreach", "nurture")}
            changed = replace(fact, body=fact.body.model_copy(update=more))
            facts = tuple(changed if one is fact else one for one in facts)
    monkeypatch.setattr(explain, "read_facts", lambda *_: facts)

    text = runner.invoke(app, ["explain", "m-2"]).stdout

    assert "calibration  fitted:90:abc" in text
    assert "asked of the 2 nearest: outreach, nurture" in text


def test_explain_says_how_the_chosen_agent_has_done_so_far(run) -> None:
    """What the decision could expect: its answers to tasks it was given, and how long they took."""
    given = run.answered[0]
    run.broker.producer().send(
        "agent_tasks_research", key=b"ada", value=given.evolve(type="task.assigned").to_json()
    )

    value = json.loads(runner.invoke(app, ["explain", "m-1", "--json"]).stdout)
    text = runner.invoke(app, ["explain", "m-1"]).stdout

    (found,) = value["details"]
    assert (found["track_record"]["agent"], found["track_record"]["answers"]) == ("research", 1)
    assert found["track_record"]["reliability"] == 1.0
    assert "usually      research answered 1 task: half within" in text
    assert details()["track_record"] is None  # `outreach` has not answered yet
