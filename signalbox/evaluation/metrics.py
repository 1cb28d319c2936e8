"""Figures of an evaluation, each defined once. Shares are in [0, 1]; a share of nothing is None, never 0 or 1."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signalbox.contracts.decision import NONE
from signalbox.evaluation.results import Result

SHORTLIST_SIZES: Final = (1, 3, 5, 20)
REFUSED_SHARE: Final = 0.05
_EXAMPLES: Final = 3


def share(part: int, whole: int) -> float | None:
    """Return `part / whole`; None where there is nothing to have a share of."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How one answer (an agent or NONE) did: `support` rows should have got it, `answered` did, `right` is both."""

    support: int
    answered: int
    right: int

    @property
    def precision(self) -> float | None:
        """Right among those answered so."""
        return share(self.right, self.answered)

    @property
    def recall(self) -> float | None:
        """Right among those that should have been."""
        return share(self.right, self.support)

    @property
    def f1(self) -> float:
        """The harmonic mean of the two; 0 where nothing was right."""
        return 2 * self.right / (self.support + self.answered) if self.right else 0.0


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows of one right answer that got one wrong one, with the first few of them."""

    expected: str
    answered: str
    count: int
    examples: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """How rows for an agent and rows for nobody are told apart.

    `none_recall` is the share of NONE rows refused at `threshold`, the highest score under which at most 5 % of the
    in-scope rows lie; both are None without rows of either kind.
    """

    threshold: float | None
    none_recall: float | None


def per_class(results: Sequence[Result]) -> dict[str, ClassFigures]:
    """Return the figures of every answer that was expected or given, in name order, NONE last."""
    support = Counter(result.truth for result in results)
    answered = Counter(result.prediction.agent for result in results)
    right = Counter(result.truth for result in results if result.is_right)
    names = sorted({*support, *answered}, key=lambda name: (name == NONE, name))
    return {name: ClassFigures(support[name], answered[name], right[name]) for name in names}


def macro_f1(classes: dict[str, ClassFigures]) -> float | None:
    """Return the mean F1 over every answer that was expected or given, NONE among them."""
    return sum(one.f1 for one in classes.values()) / len(classes) if classes else None


def shortlist_recall(results: Sequence[Result], size: int) -> float | None:
    """Return the share of in-scope rows whose right agent is among the first `size` of the shortlist."""
    in_scope = [result for result in results if result.is_in_scope]
    found = sum(
        any(name in result.row.expected for name in result.prediction.shortlist[:size])
        for result in in_scope
    )
    return share(found, len(in_scope))


def scope_at(results: Sequence[Result], refused_share: float = REFUSED_SHARE) -> Scope:
    """Find the threshold that refuses at most `refused_share` of the in-scope rows, and what it does to the others."""
    inside = sorted(result.prediction.score for result in results if result.is_in_scope)
    outside = [result.prediction.score for result in results if not result.is_in_scope]
    if not inside or not outside:
        return Scope(None, None)
    # Rows below the threshold are refused; equal scores stay in, so never more than the share is refused.
    threshold = inside[math.floor(len(inside) * refused_share)]
    return Scope(threshold, share(sum(score < threshold for score in outside), len(outside)))


def confusions(results: Sequence[Result]) -> list[Confusion]:
    """Return every pair of right and wrong answer, the most frequent first."""
    pairs: defaultdict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        if not result.is_right:
            pairs[result.truth, result.prediction.agent].append(result)
    ordered = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Confusion(expected, answered, len(found), tuple(found[:_EXAMPLES]))
        for (expected, answered), found in ordered
    ]
