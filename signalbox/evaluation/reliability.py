"""Whether a decision's confidence can be believed: among answers of confidence 0.8, eight in ten should be right.

ECE (expected calibration error) as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: ten bins of
equal width, the mean distance of confidence and accuracy, weighted by rows. Only rows that a model decided have a confidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signalbox.evaluation.results import Result

BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose confidence lies in [low, high); the last bin has 1.0 too."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """The bins that have rows, and their mean distance; None without any."""

    rows: int
    ece: float | None
    bins: tuple[Bin, ...]


def reliability(results: Sequence[Result]) -> Reliability:
    """Bin the rows that have a confidence."""
    binned: defaultdict[int, list[tuple[float, bool]]] = defaultdict(list)
    for result in results:
        confidence = result.prediction.confidence
        if confidence is not None:
            number = min(int(confidence * BINS), BINS - 1)
            binned[number].append((confidence, result.is_right))
    bins = tuple(_bin(number, binned[number]) for number in sorted(binned))
    rows = sum(one.count for one in bins)
    if not rows:
        return Reliability(0, None, ())
    ece = sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / rows
    return Reliability(rows, ece, bins)


def _bin(number: int, members: list[tuple[float, bool]]) -> Bin:
    count = len(members)
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        count=count,
        confidence=sum(confidence for confidence, _ in members) / count,
        accuracy=sum(right for _, right in members) / count,
    )
