"""From two likenesses to one score in [0, 1], and from scores to an agent or NONE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signalbox.contracts.decision import NONE
from signalbox.definitions.specs import SemanticCalibration


@dataclass(frozen=True, slots=True)
class Choice:
    """An agent or NONE with the score that decided: the best agent's, also where it did not suffice."""

    agent: str
    score: float
    best: str
    why_none: str = ""


def blend(
    by_meaning: NDArray[np.float64], by_words: NDArray[np.float64], lexical_weight: float
) -> NDArray[np.float64]:
    """Return the weighted mean of both, which may be below 0: vectors can point apart."""
    blended: NDArray[np.float64] = (by_meaning + lexical_weight * by_words) / (1 + lexical_weight)
    return blended


def as_scores(blended: NDArray[np.float64]) -> list[float]:
    """Return what `blend` returned as scores: below 0 counts as 0, above 1 as 1."""
    scores: list[float] = np.clip(blended, 0.0, 1.0).tolist()
    return scores


def combine(
    dense: Mapping[str, float], lexical: Mapping[str, float], lexical_weight: float
) -> dict[str, float]:
    """Return one score by choice, in the order of `dense`."""
    by_meaning = np.fromiter(dense.values(), np.float64, len(dense))
    by_words = np.fromiter(map(lexical.__getitem__, dense), np.float64, len(dense))
    scores = as_scores(blend(by_meaning, by_words, lexical_weight))
    return dict(zip(dense, scores, strict=True))


def choose(scores: Mapping[str, float], calibration: SemanticCalibration) -> Choice:
    """Return the best of `scores`, or NONE where it is below the threshold or not ahead of the second by the margin."""
    if not scores:
        return Choice(NONE, 0.0, NONE, "there are no candidates")
    best = max(scores, key=scores.__getitem__)
    score = scores[best]
    if score < calibration.none_below or score <= 0:
        why = f"best score {score:.2f} is below {calibration.none_below:.2f}"
        return Choice(NONE, score, best, why)
    if len(scores) > 1 and calibration.margin:
        second = max((name for name in scores if name != best), key=scores.__getitem__)
        if score - scores[second] <= calibration.margin:
            why = f"{best} {score:.2f} and {second} {scores[second]:.2f} are too close"
            return Choice(NONE, score, best, why)
    return Choice(best, score, best)
