"""Late interaction: each word of a message is compared with the nearest word that a choice says.

A text's vector says what it is about and forgets the one word that tells two neighbours apart. Where the best few choices
have examples, their words are looked at one by one. It changes their order and nothing else: the best of their scores stays
what it was, and no choice that was not looked at passes one that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.matching.embedder import TOKEN_SCALE, Tokens, TokenVectors

CANDIDATES: Final = 3
"""How many of the best choices are looked at; with five or ten the first is no better (docs/routing-quality.md)."""
WEIGHT: Final = 0.4
"""How much likeness of tokens counts beside likeness of meaning, which counts 1."""
MIN_TOKENS: Final = 3
"""A message of fewer has no word that its vector forgets, and "ok" is as near to any text that has an "ok" in it."""
_LEXICAL_WEIGHT: Final = 0.3
"""How much words count in who the best are; the default of the calibration, which is not known here."""


@dataclass(frozen=True, slots=True)
class LateInteraction:
    """What the choices with examples say, token by token."""

    members: NDArray[np.intp]
    """Places of these choices."""
    tokens: Sequence[Sequence[TokenVectors]]
    """For each of `members`, the tokens of each of its texts; together at least one."""

    def reorder(
        self,
        scores: NDArray[np.float64],
        lexical: NDArray[np.float64],
        query: Tokens,
        is_refused: NDArray[np.bool_],
    ) -> None:
        """Change the members' `scores` in place; the best of those that did not refuse keeps its height.

        Args:
            scores: likeness of meaning, one a choice.
            lexical: likeness of words, one a choice.
            query: what is placed.
            is_refused: which choices do not want it.
        """
        wanting = np.flatnonzero(~is_refused[self.members])
        if len(wanting) < 2 or len(query.vectors) < MIN_TOKENS:
            return
        places = self.members[wanting]
        order = np.argsort(-(scores[places] + _LEXICAL_WEIGHT * lexical[places]), kind="stable")
        candidates = wanting[order[:CANDIDATES]]
        likeness = self._likeness(candidates, query)
        best = scores[places].max()
        # What counts is by how much a candidate is nearer than the farthest of them: the others stay behind all of them.
        scores[self.members[candidates]] += WEIGHT * (likeness - likeness.min())
        scores[self.members] += best - scores[places].max()

    def _likeness(self, candidates: NDArray[np.intp], query: Tokens) -> NDArray[np.float64]:
        """Return for each candidate the weighted mean of the query's tokens' cosines with their nearest of its tokens."""
        said = [text for candidate in candidates for text in self.tokens[candidate]]
        counts = [sum(map(len, self.tokens[candidate])) for candidate in candidates]
        cosines = np.concatenate(said).astype(np.float32) @ query.vectors.astype(np.float32).T
        nearest = np.maximum.reduceat(cosines, np.cumsum(counts) - counts, axis=0)
        weights = query.weights / (query.weights.sum() * np.float32(TOKEN_SCALE**2))
        likeness: NDArray[np.float64] = (nearest @ weights).astype(np.float64)
        return likeness
