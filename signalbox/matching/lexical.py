"""How many words two texts share: TF-IDF over word stems and pieces of words, as a cosine in [0, 1].

What every choice says weighs little, what one of them says weighs much, and what none says counts against all of them.
Pieces of three to five letters make "payments" meet "pay" and "shippment" meet "shipment".
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.matching.words import FUNCTION_WORDS, words

_PIECES: Final = (3, 4, 5)
_LETTERS: Final = re.compile(r"[a-z0-9]+")
_FUNCTION_WEIGHT: Final = 0.1
_MAX_WORD_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class Document:
    """What one choice says, counted: feature numbers and their weights before it is known what the others say."""

    features: NDArray[np.int32]
    weights: NDArray[np.float32]


class Vocabulary:
    """Numbers for features. It only grows; which number a feature has does not change any score."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def size_bytes(self) -> int:
        """What the features and their numbers take."""
        return sys.getsizeof(self._numbers) + sum(sys.getsizeof(f) for f in self._numbers)

    def document(self, texts: Iterable[str]) -> Document:
        """Count `texts` together, numbering what is new."""
        counted = counted_features(texts)
        numbers = self._numbers
        features = [numbers.setdefault(feature, len(numbers)) for feature in counted]
        return Document(np.array(features, np.int32), _dampened(counted))

    def known(self, text: str) -> tuple[Document, float]:
        """Count `text` without numbering anything; return its known features, and the squared weight of the others."""
        counted = counted_features([text])
        weights = _dampened(counted)
        numbers = np.array([self._numbers.get(feature, -1) for feature in counted], np.int32)
        is_known = numbers >= 0
        unknown = float(np.square(weights[~is_known]).sum())
        return Document(numbers[is_known], weights[is_known]), unknown


class LexicalIndex:
    """An inverted index over one set of documents; build once, score many texts."""

    def __init__(self, documents: Sequence[Document], vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._count = len(documents)
        owners = np.repeat(
            np.arange(self._count, dtype=np.int32), [len(d.features) for d in documents]
        )
        features = _joined([d.features for d in documents], np.int32)
        weights = _joined([d.weights for d in documents], np.float32)
        order = np.argsort(features, kind="stable")
        self._features, starts, found = np.unique(
            features[order], return_index=True, return_counts=True
        )
        self._starts = np.append(starts, len(features)).astype(np.int32)
        self._specific = _specificity(found, self._count)
        self._owners = owners[order]
        weighted = weights[order] * np.repeat(self._specific, found)
        lengths = np.sqrt(np.bincount(self._owners, weighted**2, self._count))
        self._weights = (weighted / lengths[self._owners]).astype(np.float32)

    @property
    def size_bytes(self) -> int:
        """What the arrays of this index take; its share of the vocabulary left out."""
        parts = (self._features, self._starts, self._specific, self._owners, self._weights)
        return sum(part.nbytes for part in parts)

    def score(self, text: str) -> NDArray[np.float64]:
        """Return the cosine of `text` with each document, in the documents' order."""
        document, unknown = self._vocabulary.known(text)
        nobodys = _specificity(np.zeros(1), self._count)[0]
        squared = unknown * nobodys**2
        if not len(self._features):
            return np.zeros(self._count)
        places = np.searchsorted(self._features, document.features)
        places = np.minimum(places, len(self._features) - 1)
        is_said = self._features[places] == document.features
        squared += float(np.square(document.weights[~is_said] * nobodys).sum())
        places, weights = places[is_said], document.weights[is_said]
        weighted = weights * self._specific[places]
        squared += float(np.square(weighted).sum())
        # Every (feature, owner) pair of the text's features in one go: slices of one array, laid end to end.
        starts, counts = self._starts[places], self._starts[places + 1] - self._starts[places]
        ends = np.cumsum(counts)
        pairs = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
            starts - (ends - counts), counts
        )
        shared: NDArray[np.float64] = np.bincount(
            self._owners[pairs],
            np.repeat(weighted, counts) * self._weights[pairs],
            minlength=self._count,
        ).astype(np.float64)
        return shared / math.sqrt(squared) if squared else shared


def counted_features(texts: Iterable[str]) -> Counter[str]:
    """Count the stems and the pieces of words of `texts`; function words count little."""
    counted: Counter[str] = Counter()
    for text in texts:
        for word in words(text):
            counted[word] += _FUNCTION_WEIGHT if word in FUNCTION_WORDS else 1  # type: ignore[assignment]
        for word in _LETTERS.findall(text.lower()):
            counted.update(_pieces(word[:_MAX_WORD_CHARS]))
    return counted


@lru_cache(maxsize=20_000)
def _pieces(word: str) -> tuple[str, ...]:
    # The brackets tell a piece from a word, and a word's beginning from its middle.
    framed = f"<{word}>"
    return tuple(
        f"|{framed[start : start + size]}"
        for size in _PIECES
        for start in range(len(framed) - size + 1)
    )


def _dampened(counted: Counter[str]) -> NDArray[np.float32]:
    """Said twice is not twice as much."""
    counts = np.fromiter(counted.values(), np.float32, len(counted))
    return np.where(counts > 1, 1 + np.log(np.maximum(counts, 1)), counts)


def _specificity(found: NDArray[Any], count: int) -> NDArray[np.float32]:
    specificity: NDArray[np.float32] = np.log(1 + (count + 1) / (found + 0.5)).astype(np.float32)
    return specificity


def _joined(parts: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, kind)
