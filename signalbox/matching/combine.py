"""From two likenesses to one score in [0, 1], and from scores to an agent or NONE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from signalbox.contracts.decision import NONE
from signalbox.definitions.specs import SemanticCalibration


@dataclass(frozen=True, slots=True)
class Choice:
    """An agent or NONE with the score that decided: the best agent's, also where it did not suffice."""

    agent: str
    score: float
    best: str
    why_none: str = ""


def combine(
    dense: Mapping[str, float], lexical: Mapping[str, float], lexical_weight: float
) -> dict[str, float]:
    """Return the weighted mean of both, by choice; below 0 (vectors can point apart) counts as 0."""
    whole = 1 + lexical_weight
    return {
        name: min(max((score + lexical_weight * lexical[name]) / whole, 0.0), 1.0)
        for name, score in dense.items()
    }


def choose(scores: Mapping[str, float], calibration: SemanticCalibration) -> Choice:
    """Return the best of `scores`, or NONE where it is below the threshold or not ahead of the second by the margin."""
    if not scores:
        return Choice(NONE, 0.0, NONE, "there are no candidates")
    ranked = sorted(scores.items(), key=lambda item: -item[1])[:2]
    best, score = ranked[0]
    if score < calibration.none_below or score <= 0:
        why = f"best score {score:.2f} is below {calibration.none_below:.2f}"
        return Choice(NONE, score, best, why)
    if len(ranked) > 1 and calibration.margin and score - ranked[1][1] <= calibration.margin:
        second, runner_up = ranked[1]
        why = f"{best} {score:.2f} and {second} {runner_up:.2f} are too close"
        return Choice(NONE, score, best, why)
    return Choice(best, score, best)
