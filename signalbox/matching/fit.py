"""Sets threshold and weight on labelled rows. What it returns is stored with the fleet and named in every record it decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from signalbox.contracts.decision import NONE
from signalbox.definitions.specs import Calibration, SemanticCalibration
from signalbox.matching.combine import combine

LEXICAL_WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
_TOLERANCE: Final = 0.004
"""Thresholds this near to the best accuracy count as equally good, and the middle of them is taken: a peak on a few rows
is luck. A weight other than the default must gain more than this."""


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """One labelled message: who should have it (an agent or "NONE"), and how near it was to each."""

    expected: str
    dense: Mapping[str, float]
    lexical: Mapping[str, float]


def fit(rows: Sequence[LabelledScores], *, base: Calibration | None = None) -> Calibration:
    """Return the calibration with which most of `rows` are placed right, NONE included.

    Args:
        rows: labelled messages with their signals. At least some should be "NONE": without one the threshold is 0.
        base: what is not fitted is taken from here.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        msg = "there are no labelled rows to fit on; give some with `expected` set to an agent or NONE"
        raise ValueError(msg)
    base = Calibration() if base is None else base
    default = SemanticCalibration().lexical_weight
    accuracy, threshold = _best_threshold(rows, default)
    weight = default
    for tried in LEXICAL_WEIGHTS:
        found, at = _best_threshold(rows, tried)
        if found > accuracy + _TOLERANCE:
            accuracy, threshold, weight = found, at, tried
    fitted = base.semantic.model_copy(
        update={
            "none_below": round(threshold, 4),
            "lexical_weight": weight,
            "margin": 0.0,
            "rows": len(rows),
        }
    )
    return base.model_copy(update={"semantic": fitted})


def _best_threshold(rows: Sequence[LabelledScores], lexical_weight: float) -> tuple[float, float]:
    """Return the best accuracy and a threshold that reaches it."""
    tops = np.empty(len(rows))
    is_right = np.empty(len(rows), bool)
    is_none = np.array([row.expected == NONE for row in rows])
    for number, row in enumerate(rows):
        scores = combine(row.dense, row.lexical, lexical_weight)
        best = max(scores, key=scores.__getitem__, default=NONE)
        tops[number] = scores.get(best, 0.0)
        is_right[number] = best == row.expected
    if not is_none.any():
        return float(is_right.mean()), 0.0
    order = np.argsort(tops)
    # Refusing the k lowest: their NONEs become right, their agents wrong.
    gained = np.cumsum(is_none[order]) - np.cumsum(is_right[order])
    correct = np.append(0, gained) + is_right.sum()
    accuracy = correct / len(rows)
    best = accuracy.max()
    good = np.flatnonzero(accuracy >= best - _TOLERANCE)
    middle = int(good[len(good) // 2])
    edges = np.concatenate([[0.0], tops[order], [tops.max() + 1e-3]])
    return float(best), float((edges[middle] + edges[middle + 1]) / 2)
