"""What would have let another agent win: contract fields, an allowlist, or so much score. Pure, over one decision record.

Asked by `signalbox explain`. It says what was short, not what would have happened next: a second candidate is a question
to a model, and what a model says to that question nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from signalbox.contracts.decision import NONE, Candidate, Decision
from signalbox.definitions.specs import FleetPolicy
from signalbox.routing.answers import RouteAnswer, parse_answer
from signalbox.routing.candidates import NOT_ALLOWED

MAX_ALTERNATIVES: Final = 5

Lack = Literal["contract", "handoffs", "score", "choice"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One agent that did not win. `lacks` says what kept it: fields, an allowlist, score, or only that it was not chosen.

    `fields` are its violations. `score_gap` is how much more score it needed, in [0, 1], where scores are on record.
    """

    agent: str
    lacks: Lack
    fields: tuple[str, ...] = ()
    score_gap: float | None = None


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The nearest others first, and one sentence. `gap_to_none` is how far the winner's score was above NONE."""

    summary: str
    alternatives: tuple[Alternative, ...] = ()
    gap_to_none: float | None = None


def counterfactual(
    decision: Decision,
    policy: FleetPolicy | None,
    violations_of: Callable[[str], tuple[str, ...]] | None = None,
) -> Counterfactual:
    """Say what another agent lacked to win.

    Args:
        decision: the record.
        policy: the conversation's at that time, for the thresholds; None where its version is gone.
        violations_of: what an agent's contract says of the data, for agents that an allowlist kept out; None where the
            definitions or the message are gone.
    """
    others = [one for one in decision.candidates if one.agent != decision.agent]
    refused = _refused(others, violations_of)
    match decision.path:
        case "explicit":
            return Counterfactual(
                "the message names its target; without `target` contracts and model would decide"
            )
        case "workflow":
            return Counterfactual("a workflow's step names its agent; no other was weighed")
        case "subscription":
            return Counterfactual("who subscribes to a message hears it; nobody had to win")
        case "human":
            rest = tuple(Alternative(one.agent, "choice") for one in others if one.accepted)
            return Counterfactual("a person decided", (*rest, *refused)[:MAX_ALTERNATIVES])
    accepted = [one for one in others if one.accepted]
    unsure = _unsure(decision, accepted)
    if unsure is not None and decision.confidence is not None:
        return _by_confidence(unsure, decision.confidence, accepted, refused, policy)
    # Where a model read a shortlist, the scores made the list and not the choice.
    if not decision.shortlist and any(one.score is not None for one in decision.candidates):
        return _by_score(decision, accepted, refused, policy)
    if decision.model is not None:
        return _by_choice(decision, accepted, refused, policy)
    return _by_contract(decision, refused)


def _refused(
    others: list[Candidate], violations_of: Callable[[str], tuple[str, ...]] | None
) -> tuple[Alternative, ...]:
    """The agents that may not act, the fewest missing fields first; of those kept out by an allowlist, its contract's word."""
    found = []
    for one in others:
        if one.accepted:
            continue
        if one.violations == (NOT_ALLOWED,):
            fields = () if violations_of is None else violations_of(one.agent)
            found.append(Alternative(one.agent, "handoffs", fields))
        else:
            found.append(Alternative(one.agent, "contract", one.violations))
    return tuple(sorted(found, key=lambda one: (len(one.fields), one.lacks == "handoffs")))


def _by_contract(decision: Decision, refused: tuple[Alternative, ...]) -> Counterfactual:
    if not refused:
        return Counterfactual("no other agent was weighed")
    nearest = refused[0]
    would = "won" if decision.agent == NONE else "been a candidate as well"
    return Counterfactual(
        f"{nearest.agent} would have {would} {_with(nearest)}", refused[:MAX_ALTERNATIVES]
    )


def _with(one: Alternative) -> str:
    if one.lacks == "handoffs":
        also = f", but for: {_listed(one.fields)}" if one.fields else ""
        return f"if the sender's handoffs named it{also}"
    return f"but for: {_listed(one.fields)}" if one.fields else "by its contract"


def _listed(fields: tuple[str, ...]) -> str:
    return "; ".join(fields)


def _by_score(
    decision: Decision,
    accepted: list[Candidate],
    refused: tuple[Alternative, ...],
    policy: FleetPolicy | None,
) -> Counterfactual:
    scores = {one.agent: one.score or 0.0 for one in decision.candidates if one.accepted}
    won = scores.get(decision.agent)
    if won is None:
        thresholds = None if policy is None else _thresholds(policy, decision)
        return _none_by_score(scores, refused, thresholds)
    ranked = sorted(accepted, key=lambda one: -(one.score or 0.0))
    behind = tuple(
        Alternative(one.agent, "score", score_gap=_rounded(max(0.0, won - (one.score or 0.0))))
        for one in ranked
    )
    threshold = None if policy is None else _thresholds(policy, decision)[0]
    to_none = None if threshold is None else _rounded(won - threshold)
    parts = []
    if behind:
        next_best = behind[0]
        parts.append(f"{next_best.agent} needed {next_best.score_gap:.2f} more score to win")
    if to_none is not None:
        parts.append(f"NONE would have won had the score been {to_none:.2f} lower")
    summary = "; ".join(parts) or "no other agent was scored"
    return Counterfactual(summary, (*behind, *refused)[:MAX_ALTERNATIVES], to_none)


def _none_by_score(
    scores: dict[str, float],
    refused: tuple[Alternative, ...],
    thresholds: tuple[float, float] | None,
) -> Counterfactual:
    """Of a scorer's NONE: how much the best was below the threshold, or how much clearer it had to lead."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    if thresholds is None or not ranked:
        rest = tuple(Alternative(name, "score") for name, _ in ranked)
        told = "the thresholds of that time are gone" if thresholds is None else "nobody was scored"
        return Counterfactual(told, (*rest, *refused)[:MAX_ALTERNATIVES])
    none_below, margin = thresholds
    best, score = ranked[0]
    runner_up = ranked[1][1] if len(ranked) > 1 else 0.0
    # Both must be passed: the threshold, and the lead over the next one.
    needed = max(none_below, runner_up + margin if len(ranked) > 1 else 0.0)
    alternatives = tuple(
        Alternative(name, "score", score_gap=_rounded(max(0.0, max(needed, score) - own)))
        if name != best
        else Alternative(name, "score", score_gap=_rounded(max(0.0, needed - own)))
        for name, own in ranked
    )
    gap = alternatives[0].score_gap
    is_threshold = score < none_below
    told = (
        f"its {score:.2f} is below the threshold {none_below:.2f}"
        if is_threshold
        else f"it leads by {score - runner_up:.2f}, and by {margin:.2f} or less is a tie"
    )
    return Counterfactual(
        f"{best} needed {gap:.2f} more score to win: {told}",
        (*alternatives, *refused)[:MAX_ALTERNATIVES],
    )


def _thresholds(policy: FleetPolicy, decision: Decision) -> tuple[float, float]:
    """Return (none_below, margin) of the scorer that decided: who scores by meaning has thresholds of its own, and names them."""
    calibration = policy.calibration
    if decision.calibration is not None:
        return calibration.semantic.none_below, calibration.semantic.margin
    return calibration.none_below, calibration.margin


def _unsure(decision: Decision, accepted: list[Candidate]) -> str | None:
    """Return whom a model chose when the message went to a person all the same; None where it chose nobody."""
    if decision.agent != NONE or decision.answer is None:
        return None
    said = parse_answer(decision.answer, [one.agent for one in accepted])
    return said.agent if isinstance(said, RouteAnswer) and said.agent != NONE else None


def _by_confidence(
    agent: str,
    confidence: float,
    accepted: list[Candidate],
    refused: tuple[Alternative, ...],
    policy: FleetPolicy | None,
) -> Counterfactual:
    """Of a message that waits for a person: how much surer the model had to be."""
    gap = None if policy is None else _rounded(policy.review.below_confidence - confidence)
    chosen = Alternative(agent, "score", score_gap=gap)
    rest = tuple(Alternative(one.agent, "choice") for one in accepted if one.agent != agent)
    told = f"{agent} was chosen too unsurely to act without a person"
    if policy is not None:
        told = (
            f"{agent} needed {gap:.2f} more confidence: its {confidence:.2f} is below "
            f"{policy.review.below_confidence:.2f}, from where on no person is asked"
        )
    return Counterfactual(told, (chosen, *rest, *refused)[:MAX_ALTERNATIVES])


def _by_choice(
    decision: Decision,
    accepted: list[Candidate],
    refused: tuple[Alternative, ...],
    policy: FleetPolicy | None,
) -> Counterfactual:
    rest = tuple(Alternative(one.agent, "choice") for one in accepted)
    parts = [f"{decision.model} names its choice without scores"]
    if rest:
        parts.append(f"it could have named {', '.join(one.agent for one in rest[:3])}")
    limit = 0.0 if policy is None else policy.review.below_confidence
    if decision.confidence is not None and limit > 0 and decision.agent != NONE:
        parts.append(
            f"below {limit:.2f} a person decides, its confidence was {decision.confidence:.2f}"
        )
    return Counterfactual("; ".join(parts), (*rest, *refused)[:MAX_ALTERNATIVES])


def _rounded(score: float) -> float:
    return round(score, 4)
