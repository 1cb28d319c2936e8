"""Places a text among choices by the words they share: the whole of the embedded model, and explainable word by word.

Each choice is described by texts (its name, its description, its examples). A word weighs the more, the fewer choices
have it; a word that no choice knows weighs most, so a text about something else scores low everywhere. Function words
weigh little. Two parts make a score: how much of the text the choice's vocabulary covers, and how near the nearest
single sentence or example of it is. Sentences that begin with "Not for" count against their own choice.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connectors.words import FUNCTION_WORDS, words

_SENTENCE_END: Final = re.compile(r"(?<=[.!?;:])\s+|\n+")
_NEGATIVE: Final = re.compile(r"^\s*not for\b", re.IGNORECASE)
_NEAREST_SHARE: Final = 0.5
_PAIR_WEIGHT: Final = 0.3
_FUNCTION_WEIGHT: Final = 0.1
_FUNCTION_PAIR_WEIGHT: Final = 0.25

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Scores in [0, 1] by choice, in the choices' order, and the words that matched, heaviest first."""

    scores: Mapping[str, float]
    matched: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Choice:
    vocabulary: frozenset[str]
    texts: tuple[frozenset[str], ...]
    refused: tuple[frozenset[str], ...]


class LexicalScorer:
    """The index over one set of choices; build once, place many texts."""

    __slots__ = ("_choices", "_unknown", "_weights")

    def __init__(self, choices: Mapping[str, tuple[str, ...]]) -> None:
        """Index `choices`: name → texts that describe it."""
        self._choices = {name: _index(name, texts) for name, texts in choices.items()}
        count = len(self._choices)
        frequency = Counter(
            feature for choice in self._choices.values() for feature in choice.vocabulary
        )
        self._weights = {
            feature: _specificity(found, count) * _kind_weight(feature)
            for feature, found in frequency.items()
        }
        self._unknown = _specificity(0, count)

    def place(self, text: str) -> Placement:
        """Score `text` against every choice."""
        features = _features(words(text))
        weights = {
            feature: self._weights.get(feature, self._unknown * _kind_weight(feature))
            for feature in features
            # A pair of words that nobody knows says no more than its two words already did.
            if " " not in feature or feature in self._weights
        }
        matched = {
            name: tuple(
                sorted(
                    (
                        f
                        for f in weights
                        if f in choice.vocabulary and " " not in f and f not in FUNCTION_WORDS
                    ),
                    key=lambda feature: (-weights[feature], feature),
                )
            )
            for name, choice in self._choices.items()
        }
        scores = {name: self._score(weights, choice) for name, choice in self._choices.items()}
        return Placement(scores, matched)

    def _score(self, weights: Weights, choice: _Choice) -> float:
        total = sum(weights.values())
        if not total:
            return 0.0
        covered = sum(weight for feature, weight in weights.items() if feature in choice.vocabulary)
        nearest = self._nearest(weights, choice.texts)
        score = (1 - _NEAREST_SHARE) * covered / total + _NEAREST_SHARE * nearest
        # What the definition refuses is weighed as what it asks for: by the nearest sentence.
        against = self._nearest(weights, choice.refused)
        return score if against < nearest or not against else max(0.0, nearest - against)

    def _nearest(self, weights: Weights, texts: Iterable[frozenset[str]]) -> float:
        return max((self._cosine(weights, text) for text in texts), default=0.0)

    def _cosine(self, weights: Weights, text: frozenset[str]) -> float:
        shared = sum(weight**2 for feature, weight in weights.items() if feature in text)
        if not shared:
            return 0.0
        own = sum(weight**2 for weight in weights.values())
        other = sum(self._weights[feature] ** 2 for feature in text)
        return shared / math.sqrt(own * other)


def _index(name: str, texts: tuple[str, ...]) -> _Choice:
    sentences = [name.replace("_", " ")]
    refused: list[str] = []
    for text in texts:
        for sentence in _SENTENCE_END.split(text):
            (refused if _NEGATIVE.match(sentence) else sentences).append(sentence)
    positive = tuple(frozenset(_features(words(sentence))) for sentence in sentences)
    negative = tuple(frozenset(_features(words(sentence))) for sentence in refused)
    vocabulary = frozenset().union(*positive)
    return _Choice(vocabulary, positive, negative)


def _features(stems: list[str]) -> dict[str, None]:
    """Return words and pairs of neighbours, each once, in order."""
    pairs = [f"{first} {second}" for first, second in itertools.pairwise(stems)]
    return dict.fromkeys([*stems, *pairs])


def _specificity(found: int, count: int) -> float:
    return math.log(1 + (count + 1) / (found + 0.5))


def _kind_weight(feature: str) -> float:
    first, _, second = feature.partition(" ")
    if not second:
        return _FUNCTION_WEIGHT if first in FUNCTION_WORDS else 1.0
    if first in FUNCTION_WORDS and second in FUNCTION_WORDS:
        return _FUNCTION_PAIR_WEIGHT
    return _PAIR_WEIGHT
