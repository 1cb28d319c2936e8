"""A labelled row through the real reducer: contracts, proven senders, targets and answers decide as they do in the job."""

from __future__ import annotations

from typing import Any

import orjson

from signalbox.contracts.chat import ChatAnswer
from signalbox.evaluation.results import Result, forbidden_edge
from signalbox.evaluation.rows import LabelledRow
from signalbox.evaluation.trial import Prediction, Trial
from signalbox.routing.rules import EnginePolicy, Rulebook
from tests.support.fleets import agent, rulebook

RULES = rulebook(
    agent("alpha", ["a"], handoffs=["beta"]),
    agent("beta", ["b"], handoffs=[]),
    agent("left", ["t"]),
    agent("right", ["t"]),
)


def row(data: dict[str, Any], *expected: str, **more: Any) -> LabelledRow:
    return LabelledRow(1, "r", expected or ("NONE",), data, is_text=False, **more)


def said(agent_name: str, confidence: float = 0.9, **scores: float) -> ChatAnswer:
    text = orjson.dumps({"agent": agent_name, "reason": "why", "confidence": confidence}).decode()
    return ChatAnswer(text=text, model="m", tokens_in=10, tokens_out=2, scores=scores)


def decide(
    data: dict[str, Any], *answers: ChatAnswer, rules: Rulebook = RULES, **more: Any
) -> Prediction:
    trial = Trial(row(data, **more), rules)
    trial.begin()
    for answer in answers:
        trial.answer(answer)
    assert trial.question is None
    return trial.prediction(model_calls=len(answers), decision_ms=1.0)


def test_one_accepting_contract_decides_without_a_model() -> None:
    """The contract path is the reducer's own."""
    found = decide({"a": 1})

    assert (found.agent, found.path, found.model_calls, found.score) == (
        "alpha",
        "contract",
        0,
        1.0,
    )
    assert found.shortlist == ("alpha",)


def test_handoffs_of_a_proven_sender_count() -> None:
    """A row `from` an agent is that agent's answer to an open task, so its allowlist holds."""
    assert decide({"b": 1}, sender="alpha").agent == "beta"
    assert decide({"a": 1}, sender="alpha").agent == "NONE"
    assert decide({"b": 1}, sender="beta").reason.startswith("the sender may hand off to nobody")


def test_who_hears_a_message_is_not_where_it_goes() -> None:
    """A subscriber's record comes before the decision and is none: the row is measured by the decision."""
    heard = {"role": "listener", "filters": [{"event_type": "message.*"}]}
    rules = rulebook(agent("alpha", ["a"]), agent("ear", [], closed=False, subscribe=heard))

    routed, nowhere = decide({"a": 1}, rules=rules), decide({"z": 1}, rules=rules)

    assert (routed.agent, routed.path) == ("alpha", "contract")
    assert (nowhere.agent, nowhere.path) == ("NONE", "contract")


def test_the_labelled_of_several_that_do_the_same_is_drawn() -> None:
    """Who is free is no question of routing quality; with a label that is none of them the draw is as ever."""
    alike = [agent(name, ["w"], capability="writing") for name in ("ann", "bob", "cyd")]
    rules = rulebook(*alike)

    for name in ("ann", "bob", "cyd"):
        trial = Trial(row({"w": 1}, name), rules)
        trial.begin()
        assert trial.prediction(model_calls=0, decision_ms=1.0).agent == name
    assert decide({"w": 1}, rules=rules).agent in {"ann", "bob", "cyd"}


def test_claimed_source_without_a_task_is_a_dead_letter_and_goes_nowhere() -> None:
    """What a message claims proves nothing."""
    found = decide({"b": 1}, source="agent/alpha")

    assert (found.agent, found.path) == ("NONE", "dead_letter")
    assert found.reason.startswith("late")


def test_what_admission_refuses_is_a_dead_letter() -> None:
    """The first half of admission is in the way of a row, too."""
    assert decide({"a": "x" * 300_000}).reason.startswith("payload_too_large")
    assert decide({"a": 1}, source="orchestrator").reason.startswith("invalid_envelope")


def test_target_is_served_only_where_its_contract_accepts() -> None:
    """An explicit target skips the model, never the contract."""
    assert (decide({"a": 1}, target="alpha").agent, decide({"a": 1}, target="beta").agent) == (
        "alpha",
        "NONE",
    )


def test_scores_order_the_shortlist_also_when_the_answer_is_none() -> None:
    """A threshold can be moved afterwards only where the best score is known for refused rows."""
    found = decide({"t": 1}, said("NONE", left=0.2, right=0.4))

    assert (found.agent, found.score, found.shortlist) == ("NONE", 0.4, ("right", "left"))
    assert (found.tokens_in, found.tokens_out) == (10, 2)


def test_shortlist_has_every_candidate_however_many_there_are() -> None:
    """A record lists a bounded number of candidates; whether the right one was near is asked of all."""
    names = [f"agent_{n:02d}" for n in range(50)]
    scores = {name: n / 100 for n, name in enumerate(names)}
    found = decide(
        {"t": 1}, said("NONE", **scores), rules=rulebook(*[agent(n, ["t"]) for n in names])
    )

    assert found.shortlist == tuple(reversed(names))


def test_model_without_scores_is_ranked_by_its_choice_and_confidence() -> None:
    """Of a language model the choice is first, and a sure NONE scores low."""
    chosen = decide({"t": 1}, said("right", 0.7))
    refused = decide({"t": 1}, said("NONE", 0.7))

    assert (chosen.shortlist, chosen.score) == (("right", "left"), 0.7)
    assert refused.score == 1 - 0.7


def test_name_outside_the_candidates_is_asked_again_and_then_left_to_a_person() -> None:
    """An answer is one of the candidates or nobody acts."""
    found = decide({"t": 1}, said("alpha"), said("root"))

    assert (found.agent, found.path, found.model_calls) == ("NONE", "review", 2)


def test_model_always_asks_about_a_single_candidate() -> None:
    """The policy is the reducer's, too."""
    rules = rulebook(agent("alpha", ["a"]), engine=EnginePolicy(policy="model_always"))

    assert decide({"a": 1}, said("alpha"), rules=rules).path == "model"


def test_failed_call_is_tried_as_often_as_the_engine_does_and_then_an_error() -> None:
    """A row without an answer says so, and the time to wait between tries is known."""
    rules = rulebook(
        agent("left", ["t"]), agent("right", ["t"]), engine=EnginePolicy(model_max_attempts=2)
    )
    trial = Trial(row({"t": 1}), rules)
    trial.begin()
    trial.fail("busy", is_retryable=True, retry_after_seconds=3.0)
    assert trial.wait_seconds() >= 3.0
    trial.fail("busy", is_retryable=True, retry_after_seconds=None)
    found = trial.prediction(model_calls=2, decision_ms=1.0)

    assert trial.question is None
    assert (found.agent, found.path, found.error) == ("NONE", "dead_letter", "busy")
    assert not Result(row({"t": 1}, "NONE"), found).is_right


def test_forbidden_edge_is_seen_whatever_decided() -> None:
    """The check looks at the definitions alone, so it would contradict a decision that broke them."""

    def why(agent_name: str, data: dict[str, Any], sender: str | None = None) -> str | None:
        made = Prediction(agent_name, "model", "", 1.0, ())
        return forbidden_edge(Result(row(data, sender=sender), made), RULES)

    assert why("alpha", {"a": 1}) is None
    assert why("NONE", {}) is None
    assert why("alpha", {"a": 1}, "beta") == "beta may not hand off to alpha"
    assert "a: required" in (why("alpha", {"b": 1}) or "")
    assert why("root", {"a": 1}) == "no agent 'root' is defined"
