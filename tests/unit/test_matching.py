"""Matching: how a definition is cut, how words and vectors score it, and what a fit makes of labelled rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from signalbox.definitions.specs import Calibration, SemanticCalibration
from signalbox.matching.combine import choose, combine
from signalbox.matching.duties import MAX_DUTIES, MAX_OTHERS, cut
from signalbox.matching.embedder import Vectors, unit
from signalbox.matching.fit import LabelledScores, fit
from signalbox.matching.lexical import LexicalIndex, Vocabulary
from signalbox.matching.scorer import Scorer
from signalbox.matching.vectors import VectorStore

CHOICES = {
    "billing": (
        "Answers questions about invoices, refunds and payments.",
        "A customer's question.",
        "I was charged twice",
    ),
    "delivery": ("Finds parcels that are late or lost. Not for letters, vouchers by mail.",),
}


class LetterEmbedder:
    """Counts letters: near enough to an embedder for everything but meaning."""

    name = "letters"
    dimension = 26

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        counts = [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]
        return unit(np.array(counts, np.float32).reshape(len(texts), 26))


def test_description_is_cut_into_single_duties() -> None:
    """A definition is its name, its description, each sentence, each thing a sentence lists, and its examples."""
    duties = cut(
        "bank_desk", ("Handles money - transfers, bills and checks. Freezes cards.", "Pay!")
    )

    assert duties.wanted == (
        "bank desk",
        "Handles money - transfers, bills and checks. Freezes cards",
        "Handles money - transfers, bills and checks",
        "Handles money",
        "transfers",
        "bills",
        "checks",
        "Freezes cards",
        "Pay",
    )


def test_examples_are_not_cut() -> None:
    """What somebody says is one text, commas or not, and ends as it was said; what is said already is not said again."""
    texts = (
        "D.",
        "In.",
        "no budget, ask again, please",
        "Where is it?",
        " where ",
        "D.",
        "?",
        "Not for x.",
    )

    duties = cut("a", texts)

    assert duties.wanted == (
        "a",
        "D",
        "In",
        "no budget, ask again, please",
        "Where is it?",
        "where",
    )
    assert duties.refused == ("x",)


def test_what_a_definition_is_not_for_is_kept_apart() -> None:
    """Sentences that begin with "Not for" are refusals, single ones too."""
    duties = cut("delivery", CHOICES["delivery"])

    assert duties.refused == ("letters", "vouchers by mail")
    assert not any("voucher" in text for text in duties.wanted)


def test_definition_of_a_megabyte_costs_no_more_than_any_other() -> None:
    """Duties, further texts and the length of each are bounded."""
    duties = cut("a", ("do this, do that; " * 60_000, *("x" * 1_000_000 for _ in range(100))))
    many = cut("a", (", ".join(f"duty {n}" for n in range(5000)), *map(str, range(5000))))

    assert max(map(len, duties.wanted)) <= 1000
    assert len(many.wanted) <= 2 + MAX_DUTIES + MAX_OTHERS


def test_words_that_one_choice_has_weigh_more_than_words_of_all() -> None:
    """TF-IDF: the shared word does not decide, the single one does; pieces of words count too."""
    vocabulary = Vocabulary()
    documents = [
        vocabulary.document([text]) for text in ("send parcel", "send invoice", "send mail")
    ]
    index = LexicalIndex(documents, vocabulary)

    assert index.score("send the invoices").argmax() == 1
    assert index.score("parcelled").argmax() == 0
    assert index.score("zzz qqq").tolist() == [0, 0, 0]
    assert index.score("send parcel")[0] == pytest.approx(1, abs=1e-6)


def test_text_is_nearest_to_the_choice_that_says_it() -> None:
    """Both signals name every choice, and the one that says the same is the nearest."""
    dense, lexical = Scorer(LetterEmbedder()).signals("I was charged twice", CHOICES)

    assert list(dense) == list(lexical) == list(CHOICES)
    assert dense["billing"] > dense["delivery"]
    assert lexical["billing"] > lexical["delivery"]


def test_the_two_nearest_of_many_texts_count_and_four_of_few() -> None:
    """A choice that says much is judged by what of it is nearest; one that says little by all of that."""
    texts = ["parcel", "invoice", "flight", "hotel", "recipe", "salary", "alarm", "song", "visa"]
    for said, weights in ((texts[:4], [0.6, 0.25, 0.1, 0.05]), (texts, [0.7, 0.3])):
        choices = {"a": ("tyre.", *said)}
        wanted = LetterEmbedder().embed(["a", "tyre", *said])
        (query,) = LetterEmbedder().embed(["late parcels"])
        mean = wanted.mean(axis=0)
        falling = sorted(wanted @ query, reverse=True)[: len(weights)]

        (found,) = Scorer(LetterEmbedder()).place("late parcels", choices).dense

        assert found == pytest.approx(
            0.7 * np.dot(falling, weights) + 0.3 * (mean @ query) / np.linalg.norm(mean), abs=1e-5
        )


def test_choice_that_refuses_a_text_scores_0() -> None:
    """A text nearer to what a choice refuses than to all it wants is not its own."""
    found = Scorer(LetterEmbedder()).place("vouchers by mail", CHOICES)

    assert found.refused == {"delivery"}
    assert found.names[1] == "delivery"
    assert found.dense[1] == found.lexical[1] == found.combined(0.3)["delivery"] == 0


def test_score_does_not_depend_on_what_was_asked_before() -> None:
    """Equal questions have equal scores, whichever choices were indexed first."""
    fresh, used = Scorer(LetterEmbedder()), Scorer(LetterEmbedder())
    used.signals("lost", {"other": ("Something else, late or lost.",), **CHOICES})

    assert used.signals("late parcel", CHOICES) == fresh.signals("late parcel", CHOICES)


def test_changed_definition_embeds_only_its_new_texts() -> None:
    """Vectors are kept by text."""
    embedder = LetterEmbedder()
    scorer = Scorer(embedder)
    scorer.index(CHOICES)
    embedder.asked.clear()
    scorer.index({**CHOICES, "billing": (*CHOICES["billing"], "Refund me")})

    assert embedder.asked == ["Refund me"]


def test_likeness_is_the_cosine_with_every_text_however_far_the_store_has_grown() -> None:
    """Rows are added in pieces and the store grows beneath them; none moves, and a group's mean is that of its rows."""
    store, texts = (
        VectorStore(LetterEmbedder()),
        [f"text {chr(97 + n % 26) * n}" for n in range(300)],
    )
    for start in range(0, len(texts), 70):
        store.add(texts[start : start + 70])
    vectors = LetterEmbedder().embed(texts)

    query, tokens = store.embed("a text of x")
    likeness = store.likeness(query)[store.rows(texts)]
    groups = [store.rows(texts[n : n + 1 + n % 4]) for n in range(296)]

    assert tokens is None
    assert likeness == pytest.approx(vectors @ LetterEmbedder().embed(["a text of x"])[0], abs=1e-6)
    assert store.lengths_of_means(groups) == pytest.approx(
        np.array([np.linalg.norm(vectors[rows].mean(axis=0)) for rows in groups]), abs=1e-6
    )


def test_score_below_the_threshold_or_within_the_margin_is_none() -> None:
    """NONE by threshold, by margin, and where nothing is alike."""
    scores = combine({"a": 0.5, "b": 0.4, "c": -0.3}, {"a": 0.5, "b": 0.4, "c": 0.0}, 0.5)

    assert scores == pytest.approx({"a": 0.5, "b": 0.4, "c": 0.0})
    assert choose(scores, SemanticCalibration(none_below=0.45)).agent == "a"
    assert choose(scores, SemanticCalibration(none_below=0.55)).agent == "NONE"
    assert choose(scores, SemanticCalibration(none_below=0.45, margin=0.2)).agent == "NONE"
    assert choose({"a": 0.0}, SemanticCalibration(none_below=0)).agent == "NONE"


def rows(*scores: tuple[str, float, float]) -> list[LabelledScores]:
    """Rows of (expected, how near it is to `a`, how near to `b`), by meaning; words say nothing."""
    return [
        LabelledScores(expected, {"a": a, "b": b}, {"a": 0.0, "b": 0.0})
        for expected, a, b in scores
    ]


def test_fit_puts_the_threshold_between_agents_and_none() -> None:
    """What is fitted places the rows it was fitted on, and says on how many it stands."""
    labelled = rows(("a", 0.6, 0.1), ("b", 0.2, 0.5), ("NONE", 0.2, 0.1), ("NONE", 0.1, 0.3))
    fitted = fit(labelled).semantic

    placed = [
        choose(combine(row.dense, row.lexical, fitted.lexical_weight), fitted).agent
        for row in labelled
    ]
    assert placed == [row.expected for row in labelled]
    assert fitted.rows == 4
    assert fitted.name.startswith("fitted:4:")


def test_fit_keeps_what_it_does_not_fit() -> None:
    """The values for decisions by words alone are the fleet's own."""
    base = Calibration(none_below=0.2, margin=0.02)

    assert fit(rows(("a", 0.6, 0.1), ("NONE", 0.1, 0.1)), base=base).none_below == 0.2


def test_fit_without_rows_says_what_is_missing() -> None:
    """An empty file is no calibration."""
    with pytest.raises(ValueError, match="no labelled rows"):
        fit([])
