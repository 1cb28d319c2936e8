"""A classifier over choices with examples: multinomial logistic regression that starts at their means and stops early.

Likeness to single texts does not know what tells neighbours apart: "my card was declined" is near to everything said about
cards. The classifier learns from all texts of all choices which directions separate them. What it says changes the order of
the choices with examples and nothing else: the best of their scores stays what it was, so thresholds keep their meaning and
a choice without examples neither gains nor loses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.matching.embedder import Vectors, unit

ENOUGH_EXAMPLES: Final = 3
"""A choice with fewer is not learned: from a description alone it would learn chance (docs/routing-quality.md)."""
MAX_PAIRS: Final = 5_000_000
"""Texts times choices, a second of one core; with more nothing is learned, so that a changed definition is not waited for."""
WEIGHT: Final = 0.7
"""How much the classifier counts beside likeness of meaning, which counts 1."""
_SHARPNESS: Final = np.float32(10)
_STEPS: Final = 12
_RATE: Final = np.float32(2)
_MOMENTUM: Final = np.float32(0.5)
_ROWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Classifier:
    """What was learned: for each of `members`, by how much a direction counts more or less than in its mean."""

    members: NDArray[np.intp]
    """Places of the choices that were learned."""
    changes: Vectors
    """One row a member; the rows' sum is zero."""

    @property
    def size_bytes(self) -> int:
        """What the arrays take."""
        return self.members.nbytes + self.changes.nbytes

    def reorder(
        self, scores: NDArray[np.float64], query: Vectors, is_refused: NDArray[np.bool_]
    ) -> None:
        """Change the members' `scores` in place; the best of those that did not refuse keeps its height.

        Args:
            scores: one a choice.
            query: the vector that is placed.
            is_refused: which choices do not want it.
        """
        wanting = self.members[~is_refused[self.members]]
        if not len(wanting):
            return
        best = scores[wanting].max()
        scores[self.members] += WEIGHT * (self.changes @ query).astype(np.float64)
        scores[self.members] += best - scores[wanting].max()


def learned_places(choices: Mapping[str, tuple[str, ...]]) -> NDArray[np.intp]:
    """Return the places of those of `choices` that have enough examples, or none where fewer than two have.

    Args:
        choices: name → its description, then what it takes and its examples.
    """
    places = [n for n, texts in enumerate(choices.values()) if len(texts) - 2 >= ENOUGH_EXAMPLES]
    return np.array(places if len(places) > 1 else [], np.intp)


def learn(
    members: NDArray[np.intp],
    vectors: Vectors,
    counts: NDArray[np.intp],
    check: Callable[[], None] = lambda: None,
) -> Classifier | None:
    """Return what `vectors` teach; None where there is nothing to tell apart or more than `MAX_PAIRS`.

    Args:
        members: places of the choices that are learned.
        vectors: their texts', one choice after the other; shape (sum of counts, dimension).
        counts: how many of the rows each member has; none is 0.
        check: called between steps; what it raises ends the learning.
    """
    if len(members) < 2 or len(vectors) * len(members) > MAX_PAIRS:
        return None
    owners = np.repeat(np.arange(len(members)), counts)
    means = unit(np.add.reduceat(vectors, np.cumsum(counts) - counts, axis=0))
    changes, speed = np.zeros_like(means), np.zeros_like(means)
    # A step is by the mean text of a member, however many members and texts there are.
    rate = _RATE * np.float32(len(members) / len(vectors)) / _SHARPNESS
    for _ in range(_STEPS):
        check()
        # Nesterov's momentum: the slope is taken where the last step would lead to.
        slope = _slope(means + changes + _MOMENTUM * speed, vectors, owners)
        speed = _MOMENTUM * speed - rate * slope
        changes += speed
    return Classifier(members, changes)


def _slope(weights: Vectors, vectors: Vectors, owners: NDArray[np.intp]) -> Vectors:
    """Return the gradient of the logistic loss, a row a member; `_ROWS` texts at a time, so that memory stays small."""
    slope = np.zeros_like(weights)
    for start in range(0, len(vectors), _ROWS):
        some, of = vectors[start : start + _ROWS], owners[start : start + _ROWS]
        shares = some @ weights.T
        shares *= _SHARPNESS
        shares -= shares.max(axis=1, keepdims=True)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(some)), of] -= 1
        slope += shares.T @ some
    return slope
