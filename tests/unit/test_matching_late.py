"""Late interaction: whose tokens are looked at, what it changes, and what it never changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from connectors.kept_vectors import KeptVectors
from signalbox.matching.embedder import TOKEN_SCALE, Tokens, TokenVectors, Vectors, unit
from signalbox.matching.late import CANDIDATES, MIN_TOKENS, WEIGHT, LateInteraction
from signalbox.matching.scorer import Choices, Scorer

NOBODY: Final = np.zeros(5, bool)
WORDS: Final = ("card", "late", "stolen", "parcel", "invoice", "hello")


def tokens(*words: str) -> TokenVectors:
    """One axis a word."""
    axes = np.eye(len(WORDS), dtype=np.int8) * TOKEN_SCALE
    return axes[[WORDS.index(word) for word in words]].reshape(-1, len(WORDS)).astype(np.int8)


def asked(*words: str) -> Tokens:
    """A message whose words count alike; what it lacks to be looked at counts next to nothing."""
    said = tokens(*words, *["invoice"] * (MIN_TOKENS - len(words)))
    weights = [1.0] * len(words) + [1e-9] * (MIN_TOKENS - len(words))
    return Tokens(said, np.array(weights, np.float32))


class BlindEmbedder:
    """All texts have one vector, so that only their tokens tell them apart."""

    name = "blind"
    dimension = 2
    token_dimension = len(WORDS)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        return unit(np.ones((len(texts), 2), np.float32))

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        self.asked += texts
        said = [[word for word in text.lower().split() if word in WORDS] for text in texts]
        plain = [Tokens(tokens(*words), np.ones(len(words), np.float32)) for words in said]
        return self.embed(texts), plain


class WithoutTokens:
    """The same without the capability."""

    name = "blind"
    dimension = 2

    def embed(self, texts: Sequence[str]) -> Vectors:
        return unit(np.ones((len(texts), 2), np.float32))


LEARNED: Final[Choices] = {
    "arrival": ("", "", "late card", "late parcel", "card late hello"),
    "theft": ("", "", "stolen card", "card stolen", "stolen hello"),
}


def test_nearest_token_of_all_texts_counts_and_the_best_keeps_its_height() -> None:
    """What one text says of the message and what another says count together; each word by its weight."""
    scores, lexical = np.array([0.5, 0.49, 0.3]), np.zeros(3)
    late = LateInteraction(
        np.array([0, 1]), [[tokens("card")], [tokens("late", "hello"), tokens("card")]]
    )
    query = Tokens(tokens("card", "late", "invoice"), np.array([1, 3, 0], np.float32))

    late.reorder(scores, lexical, query, np.zeros(3, bool))

    assert scores == pytest.approx([0.5 - (0.49 + WEIGHT * 0.75 - 0.5), 0.5, 0.3])


def test_only_the_best_few_change_places() -> None:
    """Three by meaning and words together; whoever is behind them stays as far behind the last, whatever its tokens say."""
    scores = np.array([0.50, 0.49, 0.48, 0.30, 0.47])
    lexical = np.array([0.0, 0.0, 0.0, 0.7, 0.0])
    whole = tokens("card", "late")
    said = [[tokens("card")], [whole], [whole], [tokens("late")], [whole]]

    LateInteraction(np.arange(5), said).reorder(scores, lexical, asked("card", "late"), NOBODY)

    assert CANDIDATES == 3
    fall = 0.49 + WEIGHT / 2 - 0.50
    assert scores == pytest.approx([0.50 - fall, 0.50, 0.48 - fall, 0.30 - fall, 0.47 - fall])


def test_choice_that_refuses_is_not_looked_at_and_does_not_hold_the_height() -> None:
    """The best is the best of those that want the message; of one alone, or by a word or two, nothing is changed."""
    late = LateInteraction(np.arange(3), [[tokens("late")], [tokens("card")], [tokens("late")]])
    scores, lexical = np.array([0.9, 0.5, 0.4]), np.zeros(3)

    late.reorder(scores, lexical, asked("late"), np.array([True, False, False]))
    assert scores[1:] == pytest.approx([0.2, 0.5])

    before = scores.copy()
    late.reorder(scores, lexical, asked("card"), np.array([True, True, False]))
    short = Tokens(tokens("card", "late"), np.ones(2, np.float32))
    late.reorder(scores, lexical, short, np.zeros(3, bool))
    assert scores.tolist() == before.tolist()


def test_choices_with_examples_are_told_apart_by_their_tokens() -> None:
    """Where vectors say nothing the token decides; a choice without examples keeps its score."""
    choices: Choices = {**LEARNED, "mail": ("Stolen parcel.",)}

    found = Scorer(BlindEmbedder()).place("hello card stolen", choices)
    plain = Scorer(WithoutTokens()).place("hello card stolen", choices)

    assert plain.dense[1] == pytest.approx(plain.dense[0], abs=1e-4)
    assert found.dense[1] == pytest.approx(plain.dense[1], abs=1e-4)
    assert found.dense[1] - found.dense[0] == pytest.approx(WEIGHT / 3, abs=1e-2)
    assert found.dense[2] == plain.dense[2]


def test_text_without_tokens_is_no_reason_to_fail() -> None:
    """A name of words that nobody knows, an example of none, a message of none."""
    choices: Choices = {
        **LEARNED,
        "theft": (*LEARNED["theft"], "?!x"),
        "odd": ("", "", "a", "b", "c"),
    }
    scorer = Scorer(BlindEmbedder())

    assert np.isfinite(scorer.place("stolen card late", choices).dense).all()
    assert np.isfinite(scorer.place("zzz", choices).dense).all()


def test_changed_definition_embeds_its_new_texts_alone() -> None:
    """Tokens are kept by text, as vectors are, and placed alike whatever was indexed before."""
    fresh, used = BlindEmbedder(), BlindEmbedder()
    scorer = Scorer(used)
    scorer.index({"other": ("Hello.", "", "invoice", "parcel", "hello hello"), **LEARNED})
    used.asked.clear()
    changed: Choices = {**LEARNED, "theft": (*LEARNED["theft"], "parcel stolen")}
    scorer.index(changed)

    assert used.asked == ["parcel stolen"]
    assert scorer.signals("late parcel card", changed) == Scorer(fresh).signals(
        "late parcel card", changed
    )


def test_tokens_of_an_earlier_run_are_those_that_were_kept(tmp_path: Path) -> None:
    """A restart embeds nothing and places as before; a file without tokens is not read as one with them."""
    first, second = BlindEmbedder(), BlindEmbedder()
    Scorer(WithoutTokens(), KeptVectors(tmp_path, WithoutTokens(), 128)).index(LEARNED)
    before = Scorer(first, KeptVectors(tmp_path, first, 128)).signals("late parcel card", LEARNED)
    assert first.asked[:-1]

    again = Scorer(second, KeptVectors(tmp_path, second, 128)).signals("late parcel card", LEARNED)

    assert second.asked == ["late parcel card"]
    assert again == before
