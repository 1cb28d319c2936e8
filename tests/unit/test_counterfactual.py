"""What would have let another agent win: fields, an allowlist, or so much score; checked against the reducer's own records."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import Decision
from signalbox.definitions.specs import FleetPolicy
from signalbox.routing.counterfactual import Alternative, Counterfactual, counterfactual
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, reply, rulebook

POLICY: dict[str, Any] = {
    "name": "test",
    "calibration": {"none_below": 0.2, "margin": 0.05},
    "review": {"below_confidence": 0.5},
}
FLEET = rulebook(
    agent("research", ["lead"], handoffs=["outreach"]),
    agent("outreach", ["lead", "report"]),
    agent("nurture", ["lead", "report"]),
    agent("send", ["lead", "mail", "date"]),
    policy={**POLICY, "name": "test"},
)


def decided(
    data: dict[str, Any], *, sender: str | None = None, **said: Any
) -> tuple[Decision, Counterfactual]:
    """Let the reducer decide `data`, with the model's answer where one is asked."""
    world = Simulation(FLEET)
    if sender is None:
        world.send(message("m-1", data))
    else:
        world.send(message("m-0", {"lead": 1}))
        world.send(reply(world.dispatches[0].task, data))
    if world.questions:
        text = orjson.dumps({"reason": "r", "confidence": 0.9, "agent": said.pop("agent")}).decode()
        world.answer("c-1", ChatAnswer(text=text, model="m", **said))
    decision = world.decisions[-1]
    assert FLEET.current is not None
    agents = FLEET.current.agents
    return decision, counterfactual(
        decision,
        FleetPolicy.model_validate(POLICY),
        lambda name: agents[name].contract.violations(data),
    )


def test_contract_decision_names_the_nearest_other_by_its_fields() -> None:
    """The agent with the fewest violations comes first; it would have been a second candidate, not the winner."""
    decision, found = decided({"lead": 1})

    assert decision.agent == "research"
    assert [one.agent for one in found.alternatives][-1] == "send"
    assert found.alternatives[0] == Alternative("nurture", "contract", ("report: required",))
    assert found.summary == "nurture would have been a candidate as well but for: report: required"


def test_contract_none_names_who_would_have_won_and_by_what() -> None:
    """Without any candidate one field decides: the one that the nearest agent misses."""
    decision, found = decided({"lead": 1, "mail": 1})

    assert decision.agent == "NONE"
    assert found.summary == "research would have won but for: mail: not expected"
    assert [one.lacks for one in found.alternatives] == ["contract"] * 4


def test_agent_kept_out_by_an_allowlist_is_told_with_its_contract() -> None:
    """Where the allowlist alone keeps an agent out, that is what is said."""
    decision, found = decided({"lead": 1, "report": 1}, sender="research")

    assert decision.agent == "outreach"
    assert found.alternatives[0] == Alternative("nurture", "handoffs", ())
    assert (
        found.summary
        == "nurture would have been a candidate as well if the sender's handoffs named it"
    )


def test_scored_decision_says_how_much_score_the_next_one_lacked() -> None:
    """The gap to the winner, and the winner's to NONE."""
    scores = {"outreach": 0.61, "nurture": 0.49}
    _, found = decided({"lead": 1, "report": 1}, agent="outreach", scores=scores)

    assert found.alternatives[0] == Alternative("nurture", "score", score_gap=0.12)
    assert found.gap_to_none == pytest.approx(0.41)
    assert "nurture needed 0.12 more score to win" in found.summary
    assert "NONE would have won had the score been 0.41 lower" in found.summary


@pytest.mark.parametrize(
    ("scores", "gap", "told"),
    [
        ({"outreach": 0.15, "nurture": 0.01}, 0.05, "below the threshold 0.20"),
        ({"outreach": 0.60, "nurture": 0.58}, 0.03, "leads by 0.02"),
    ],
)
def test_scored_none_says_what_the_best_one_lacked(scores, gap, told) -> None:
    """Below the threshold, or too close to the next one."""
    decision, found = decided({"lead": 1, "report": 1}, agent="NONE", scores=scores)

    assert decision.agent == "NONE"
    assert found.alternatives[0].agent == "outreach"
    assert found.alternatives[0].score_gap == pytest.approx(gap)
    assert told in found.summary


def test_model_without_scores_claims_no_gap() -> None:
    """A model that only names its choice leaves nothing to compute; candidates and the person's threshold are told."""
    _, found = decided({"lead": 1, "report": 1}, agent="outreach")

    assert found.alternatives[0] == Alternative("nurture", "choice")
    assert "without scores" in found.summary
    assert "below 0.50 a person decides, its confidence was 0.90" in found.summary


def test_thresholds_that_are_gone_are_not_invented() -> None:
    """Without the policy of that time there is a gap between agents but none to NONE."""
    scores = {"outreach": 0.61, "nurture": 0.49}
    decision, _ = decided({"lead": 1, "report": 1}, agent="outreach", scores=scores)

    found = counterfactual(decision, None)

    assert found.gap_to_none is None
    assert "NONE" not in found.summary


def test_explicit_target_is_told_as_what_decided() -> None:
    """Nobody was weighed, so nobody lacked anything."""
    world = Simulation(FLEET)
    world.send(message("m-1", {"lead": 1}, target="research"))

    found = counterfactual(world.decisions[0], None)

    assert (found.alternatives, "target" in found.summary) == ((), True)


@pytest.mark.parametrize(("path", "words"), [("workflow", "step"), ("subscription", "hears it")])
def test_nobody_competes_for_a_step_or_a_subscription(path: str, words: str) -> None:
    """Such a decision weighs nobody, and says so instead of leaving the reader to wonder."""
    decision, _ = decided({"lead": 1})

    found = counterfactual(
        decision.model_copy(update={"path": path}), FleetPolicy.model_validate(POLICY)
    )

    assert words in found.summary
    assert found.alternatives == ()
