"""What-if replay on recorded runs: the same definitions change nothing, others change what they should and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.replay_run import ModelCaller
from connectors.scripted_model import ScriptedChatModel
from connectors.topic_reader import read_topic
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.errors import TerminalError
from signalbox.routing.rules import EnginePolicy
from signalbox.topics import TOPICS
from tests.support.fleets import agent, message
from tests.support.recorded_run import T0, RecordedRun, Wild
from tests.support.replays import replayed

POLICY: dict[str, Any] = {
    "name": "test",
    "budgets": {"hops": 4, "tokens": 1500, "seconds": 60, "task_seconds": 20},
    "completes_on": ["mail.sent"],
    "review": {"on_none": True, "below_confidence": 0.5, "deadline_seconds": 5},
}

RESEARCH = agent("research", ["lead"])
OUTREACH = agent("outreach", ["lead", "report"])
NURTURE = agent("nurture", ["lead", "report"])
SEND = agent("send", ["mail"], handoffs=["research"])


def active(*agents: AgentDefinition, **policy: Any) -> ActiveSet:
    """One fleet of `agents`."""
    named = {definition.name: definition for definition in agents}
    return ActiveSet.of([Fleet(FleetPolicy.model_validate({**POLICY, **policy}), named)])


FLEET = active(RESEARCH, OUTREACH, NURTURE, SEND)


@pytest.mark.parametrize("seed", range(8))
def test_replay_same_definitions_change_nothing_whatever_happened(seed: int) -> None:
    """Models, repairs, failures, reviews, people, duplicates, late and escalated replies, budgets: the diff is empty."""
    run = RecordedRun(FLEET)
    Wild(run, tuple(FLEET.agents), seed).go(300)

    report = replayed(run.broker, FLEET)

    assert report["conversations"] == []
    assert (report["changed"], report["unknown"]) == (0, 0)
    assert report["total"] == report["same"] >= len({d.message_id for d in run.world.decisions})
    assert report["tokens_before"] == report["tokens_after"] > 0
    assert report["calls_before"] > 0


def test_replay_seeds_have_met_everything_that_can_happen() -> None:
    """What the empty diff is shown on: every path, every kind of end, every reason of ours, data that people edited."""
    paths, ends, reasons, edited = set(), set(), set(), 0
    for seed in range(8):
        run = RecordedRun(FLEET)
        Wild(run, tuple(FLEET.agents), seed).go(300)
        paths |= {decision.path for decision in run.world.decisions}
        ends |= {outcome.status for outcome in run.world.outcomes}
        reasons |= {dead.reason for dead in run.world.dead_letters}
        edited += sum(decision.data_from is not None for decision in run.world.decisions)

    assert paths == {"explicit", "contract", "cache", "model", "human"}
    assert ends >= {"completed", "none", "hop_budget", "token_budget", "loop", "failed", "expired"}
    assert reasons == {"late", "unknown_agent", "model_failed", "invalid_envelope"}
    assert edited


@pytest.mark.parametrize("seed", range(4))
def test_replay_beginning_in_mid_conversation_changes_nothing_either(seed: int) -> None:
    """Hops, tokens, senders and open tasks of what lies before the range come from the records."""
    run = RecordedRun(FLEET)
    Wild(run, tuple(FLEET.agents), seed).go(300)
    middle = rfc3339(from_epoch_ms((T0 + run.now_ms) // 2))

    report = replayed(run.broker, FLEET, start=middle)

    assert report["conversations"] == []
    assert 0 < report["total"] < replayed(run.broker, FLEET)["total"]


def test_replay_that_ends_before_a_persons_edit_says_that_it_is_unknown() -> None:
    """The choice is on record, the data is not in the range: the message is not called changed."""
    asking = active(RESEARCH, SEND, review={"on_none": True})
    run = RecordedRun(asking)
    run.send(message("m-1", {"led": 1}, conversation="ada"))
    run.wait(60_000)
    run.resolves("ada", "m-1", "research", data={"lead": 1})
    assert run.tasks
    between = rfc3339(from_epoch_ms((T0 + run.now_ms) // 2))

    report = replayed(run.broker, asking, stop=between)

    assert (report["total"], report["unknown"], report["changed"]) == (1, 1, 0)
    assert "a person edited its data" in str(report["conversations"])
    whole = replayed(run.broker, asking)
    assert (whole["unknown"], whole["changed"]) == (0, 0)
    assert whole["same"] >= 1


def test_replay_knows_a_loop_by_the_data_that_was_really_given() -> None:
    """An agent that hands back what a person edited for it goes in a circle; the message as it came would hide it."""
    asking = active(RESEARCH, SEND, review={"on_none": True})
    run = RecordedRun(asking)
    run.send(message("m-1", {"led": 1}, conversation="ada"))
    run.resolves("ada", "m-1", "research", data={"lead": 1})
    run.answers(run.tasks.popitem()[1], {"lead": 1}, id="m-2")
    assert [outcome.status for outcome in run.world.outcomes] == ["loop"]

    report = replayed(run.broker, asking)

    assert (report["changed"], report["unknown"]) == (0, 0)
    assert report["same"] >= 2


def plain(*agents: AgentDefinition, **policy: Any) -> ActiveSet:
    """A fleet of `agents` that asks no person."""
    return active(*agents, review={}, **policy)


PLAIN = plain(RESEARCH, OUTREACH, NURTURE, SEND)


def conversation() -> RecordedRun:
    """A lead that is researched, placed by a model between two writers, and sent; and an odd one that nobody takes."""
    run = RecordedRun(PLAIN)
    run.send(message("m-1", {"lead": 1}, conversation="ada"))
    run.answers(run.tasks.popitem()[1], {"lead": 1, "report": 2}, id="m-2")
    run.model_says("ada", "outreach")
    run.answers(run.tasks.popitem()[1], {"mail": 1}, id="m-3")
    run.answers(run.tasks.popitem()[1], {"sent": 1}, kind="mail.sent", id="m-4")
    run.send(message("x-1", {"odd": 1}, conversation="odd"))
    return run


def only(report: dict[str, Any]) -> dict[str, Any]:
    """The one message that differs."""
    (found,) = report["conversations"]
    (entry,) = found["messages"]
    return entry


def test_replay_agent_that_is_gone_turns_its_messages_to_none() -> None:
    """Without its agent a message is NONE, and the report names the message, both fates and why."""
    run = conversation()

    report = replayed(run.broker, plain(RESEARCH, OUTREACH, NURTURE))

    assert (report["total"], report["same"], report["changed"]) == (5, 4, 1)
    assert (report["agent_to_none"], report["none_to_agent"], report["unknown"]) == (1, 0, 0)
    entry = only(report)
    assert (entry["id"], entry["hop"]) == ("m-3", 2)
    assert (entry["before"]["agent"], entry["before"]["path"]) == ("send", "contract")
    assert (entry["after"]["agent"], entry["after"]["path"]) == ("NONE", "contract")
    assert "there is no agent send" in entry["why"]


def test_replay_new_agent_takes_what_was_none() -> None:
    """A contract that accepts what nobody took turns NONE into an agent; the prompt of the other question stays as it was."""
    run = conversation()

    report = replayed(run.broker, plain(RESEARCH, OUTREACH, NURTURE, SEND, agent("odd", ["odd"])))

    assert (report["none_to_agent"], report["agent_to_none"], report["changed"]) == (1, 0, 1)
    assert only(report)["after"]["agent"] == "odd"


def test_replay_contract_in_place_of_a_model_costs_nothing() -> None:
    """Where the new definitions leave one candidate, its call and tokens are saved."""
    run = conversation()

    report = replayed(run.broker, plain(RESEARCH, OUTREACH, SEND))

    assert (report["changed"], report["path_changed"]) == (0, 1)
    assert (report["calls_before"], report["calls_after"]) == (1, 0)
    assert (report["tokens_before"], report["tokens_after"]) == (320, 0)


def test_replay_another_prompt_is_unknown_unless_the_model_is_asked() -> None:
    """A changed description is another prompt: no recorded answer fits it; with a caller the model says what it would be."""
    run = conversation()
    sharper = agent("nurture", ["lead", "report"], description="Takes every lead that is patient.")
    candidate = plain(RESEARCH, OUTREACH, sharper, SEND)

    unknown = replayed(run.broker, candidate)
    model = ScriptedChatModel({"route": {"agent": "nurture", "reason": "new", "confidence": 1}})
    asked = replayed(run.broker, candidate, caller=ModelCaller(model, EnginePolicy()))

    assert (unknown["unknown"], unknown["changed"]) == (1, 0)
    assert (only(unknown)["after"], unknown["tokens_before_unknown"]) == (None, 320)
    assert "prompt" in only(unknown)["why"]
    assert (asked["unknown"], asked["changed"], len(model.requests)) == (0, 1, 1)
    assert only(asked)["after"]["agent"] == "nurture"


def test_replay_model_that_does_not_answer_leaves_the_message_unknown() -> None:
    """A model that is down is no decision of the new definitions."""
    run = conversation()
    sharper = agent("nurture", ["lead", "report"], description="Takes every lead that is patient.")
    model = ScriptedChatModel({"route": TerminalError("no key", reason="model_failed")})

    report = replayed(
        run.broker,
        plain(RESEARCH, OUTREACH, sharper, SEND),
        caller=ModelCaller(model, EnginePolicy()),
    )

    assert (report["unknown"], report["changed"]) == (1, 0)
    assert "no key" in only(report)["why"]


def test_replay_answers_of_another_model_do_not_count_where_one_is_named() -> None:
    """With --model the question is what that model would say."""
    run = conversation()

    assert replayed(run.broker, PLAIN, model="stub")["unknown"] == 0
    assert "llama" in only(replayed(run.broker, PLAIN, model="ollama/llama3.2"))["why"]


def test_replay_smaller_budget_stops_where_it_would_have() -> None:
    """A guard's stop is a difference though the decision names the same agent."""
    run = conversation()

    report = replayed(run.broker, plain(RESEARCH, OUTREACH, NURTURE, SEND, budgets={"hops": 2}))

    assert report["changed"] == 1
    assert only(report)["after"] | {"reason": ""} == {
        "agent": "send",
        "path": "contract",
        "ending": "stopped",
        "reason": "",
        "code": "hop_budget",
    }


def test_replay_scored_answer_counts_only_under_its_calibration() -> None:
    """A local scorer's answer depends on the calibration, which the prompt does not show."""
    run = RecordedRun(PLAIN)
    run.send(message("m-1", {"lead": 1, "report": 2}, conversation="ada"))
    run.model_says("ada", "outreach", scores={"outreach": 0.9, "nurture": 0.3})

    same = replayed(run.broker, plain(RESEARCH, OUTREACH, NURTURE, SEND, budgets={"hops": 3}))
    other = replayed(
        run.broker, plain(RESEARCH, OUTREACH, NURTURE, SEND, calibration={"none_below": 0.5})
    )

    assert (same["unknown"], other["unknown"]) == (0, 1)


def test_replay_writes_nothing_to_any_topic() -> None:
    """Every topic ends where it ended before."""
    run = conversation()
    before = {name: len(list(read_topic(run.broker, name))) for name in TOPICS}

    replayed(run.broker, plain(RESEARCH))

    assert {name: len(list(read_topic(run.broker, name))) for name in TOPICS} == before
