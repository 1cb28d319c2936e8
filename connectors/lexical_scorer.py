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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from signalbox.matching.words import FUNCTION_WORDS, stems_and_words, words

_SENTENCE_END: Final = re.compile(r"(?<=[.!?;])\s+")
_LIST: Final = re.compile(r"[,:]\s+")
_NEGATIVE: Final = re.compile(r"^\s*not for\b", re.IGNORECASE)
_NEAREST_SHARE: Final = 0.5
_PAIR_WEIGHT: Final = 0.3
_FUNCTION_WEIGHT: Final = 0.1
_FUNCTION_PAIR_WEIGHT: Final = 0.25

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Scores in [0, 1] by choice, in the choices' order, and the words that made them, heaviest first.

    `refused` has the words by which a choice said that the text is not for it; such a choice scores 0.
    """

    scores: Mapping[str, float]
    matched: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Texts:
    """What a choice says of itself, or what it refuses: single texts and all their words together."""

    each: tuple[frozenset[str], ...]
    vocabulary: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Choice:
    wanted: _Texts
    refused: _Texts

    @property
    def vocabulary(self) -> frozenset[str]:
        return self.wanted.vocabulary | self.refused.vocabulary


class LexicalScorer:
    """The index over one set of choices; build once, place many texts."""

    __slots__ = ("_choices", "_unknown", "_weights")

    def __init__(self, choices: Mapping[str, tuple[str, ...]]) -> None:
        """Index `choices`: name → texts that describe it."""
        self._choices = {name: _index(name, texts) for name, texts in choices.items()}
        count = len(self._choices)
        wanting = Counter(
            feature for choice in self._choices.values() for feature in choice.wanted.vocabulary
        )
        known = frozenset().union(*(choice.vocabulary for choice in self._choices.values()))
        # A word that is only refused is wanted by nobody, and weighs like one that nobody knows.
        self._weights = {
            feature: _specificity(wanting[feature], count) * _kind_weight(feature)
            for feature in known
        }
        self._unknown = _specificity(0, count)

    def place(self, text: str) -> Placement:
        """Score `text` against every choice."""
        written = stems_and_words(text)
        features = _features([stem for stem, _ in written])
        weights = {
            feature: self._weights.get(feature, self._unknown * _kind_weight(feature))
            for feature in features
            # A pair of words that nobody knows says no more than its two words already did.
            if " " not in feature or feature in self._weights
        }
        shown = dict(reversed(written))

        def said_by(vocabulary: frozenset[str]) -> tuple[str, ...]:
            return tuple(shown[stem] for stem in _heaviest(weights, vocabulary))

        scores = {name: self._score(weights, choice) for name, choice in self._choices.items()}
        return Placement(
            scores,
            matched={n: said_by(choice.wanted.vocabulary) for n, choice in self._choices.items()},
            refused={
                n: said_by(choice.refused.vocabulary) if scores[n] == 0 else ()
                for n, choice in self._choices.items()
            },
        )

    def _score(self, weights: Weights, choice: _Choice) -> float:
        wanted = self._likeness(weights, choice.wanted)
        refused = self._likeness(weights, choice.refused)
        # What a definition refuses is weighed as what it asks for; the stronger of the two speaks.
        return wanted if wanted > refused else 0.0

    def _likeness(self, weights: Weights, texts: _Texts) -> float:
        total = sum(weights.values())
        if not total:
            return 0.0
        covered = sum(weight for feature, weight in weights.items() if feature in texts.vocabulary)
        nearest = max((self._cosine(weights, text) for text in texts.each), default=0.0)
        return (1 - _NEAREST_SHARE) * covered / total + _NEAREST_SHARE * nearest

    def _cosine(self, weights: Weights, text: frozenset[str]) -> float:
        shared = sum(weight**2 for feature, weight in weights.items() if feature in text)
        if not shared:
            return 0.0
        own = sum(weight**2 for weight in weights.values())
        other = sum(self._weights[feature] ** 2 for feature in text)
        return shared / math.sqrt(own * other)


def _index(name: str, texts: tuple[str, ...]) -> _Choice:
    wanted = [name.replace("_", " ")]
    refused: list[str] = []
    for text in texts:
        for sentence in _SENTENCE_END.split(text):
            if _NEGATIVE.match(sentence):
                refused += _LIST.split(_NEGATIVE.sub("", sentence))
            else:
                wanted += [sentence, *_LIST.split(sentence)]
    return _Choice(_texts(wanted), _texts(refused))


def _texts(texts: list[str]) -> _Texts:
    each = tuple(dict.fromkeys(frozenset(_features(words(text))) for text in texts))
    return _Texts(each, frozenset().union(*each))


def _heaviest(weights: Weights, vocabulary: frozenset[str]) -> list[str]:
    """Return the single words of `weights` that are in `vocabulary`, those that say what before those that say how."""
    found = [feature for feature in weights if feature in vocabulary and " " not in feature]
    telling = [feature for feature in found if feature not in FUNCTION_WORDS]
    return sorted(telling or found, key=lambda feature: (-weights[feature], feature))


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
