"""How alike the descriptions of agents are: by meaning where an embedder is there, by words alone where none is.

All descriptions are compared at once, in one product of matrices, when the first pair is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.matching.embedder import Embedder
from signalbox.matching.lexical import LexicalIndex, Vocabulary
from signalbox.matching.vectors import VectorStore

ALIKE_BY_MEANING: Final = 0.75
"""*Seen* with MiniLM: the ten agents of the public task reach 0.50, those of the sdr fleet 0.60, one duty in other words 0.5-0.9."""
ALIKE_BY_WORDS: Final = 0.6
"""Other words for the same stay below it: words alone find what was copied."""

Table = NDArray[np.floating[Any]]


@dataclass
class Likeness:
    """Compares two agents by name. `name` says with what, from `alike` on two descriptions are taken for the same."""

    name: str
    alike: float
    _names: Sequence[str]
    _compare: Callable[[], Table]
    _numbers: dict[str, int] = field(init=False)
    _table: Table | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self._names)}

    def of(self, one: str, other: str) -> float:
        """Return 0 (nothing in common) to 1 (the same).

        Raises:
            RetryableError, TerminalError: an embedder on a server did not answer.
        """
        if self._table is None:
            self._table = self._compare()
        return float(self._table[self._numbers[one], self._numbers[other]])


def by_meaning(descriptions: Mapping[str, str], embedder: Embedder) -> Likeness:
    """Compare descriptions (by agent) by the cosines of their vectors."""

    def compare() -> Table:
        texts = tuple(descriptions.values())
        store = VectorStore(embedder)  # in batches, equal texts once
        store.add(texts)
        vectors = store.vectors(texts)
        cosines: Table = np.clip(vectors @ vectors.T, 0, 1)
        return cosines

    return Likeness(embedder.name, ALIKE_BY_MEANING, tuple(descriptions), compare)


def by_words(descriptions: Mapping[str, str]) -> Likeness:
    """Compare descriptions (by agent) by the words they share; what all say weighs little."""

    def compare() -> Table:
        vocabulary = Vocabulary()
        texts = descriptions.values()
        index = LexicalIndex([vocabulary.document([text]) for text in texts], vocabulary)
        return np.clip(np.stack([index.score(text) for text in texts]), 0, 1)

    return Likeness("words alone", ALIKE_BY_WORDS, tuple(descriptions), compare)
