"""The classifier over choices with examples: what it learns, whom it leaves alone, and what it never changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest

from signalbox.matching import classifier
from signalbox.matching.classifier import Classifier, learn, learned_places
from signalbox.matching.embedder import Vectors, unit
from signalbox.matching.scorer import Choices, Scorer
from signalbox.matching.vectors import Stopped

AXES: Final = ("card", "late", "stolen", "parcel", "invoice", "hello")
NOBODY: Final = np.zeros(2, bool)


class WordEmbedder:
    """One axis a known word; "card" is loud, as what all messages of a bank have in common is."""

    name = "words"
    dimension = len(AXES)

    def embed(self, texts: Sequence[str]) -> Vectors:
        counts = [[text.lower().split().count(axis) for axis in AXES] for text in texts]
        return unit(np.array(counts, np.float32) * np.array([3, 1, 1, 1, 1, 1], np.float32))


EXAMPLES: Final = {
    "arrival": ("late card", "card late parcel", "late late card"),
    "theft": ("stolen card", "card stolen hello", "stolen stolen card"),
}
LEARNED: Final[Choices] = {name: ("", "", *texts) for name, texts in EXAMPLES.items()}


def test_what_tells_neighbours_apart_comes_to_count_more_than_what_they_share() -> None:
    """The axis that both have in common is left as it is; those that separate them are drawn apart, and nothing is made up."""
    vectors = WordEmbedder().embed([text for texts in EXAMPLES.values() for text in texts])
    found = learn(np.array([0, 1]), vectors, np.array([3, 3]))

    assert found is not None
    shared, late, stolen = found.changes[:, :3].T
    assert late[0] > 0.1 > -0.1 > late[1]
    assert stolen[1] > 0.1 > -0.1 > stolen[0]
    assert np.abs(shared).max() < 0.1
    assert found.changes.sum(axis=0) == pytest.approx(np.zeros(len(AXES)), abs=1e-6)


def test_learning_in_pieces_is_learning_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many texts are looked at together is a matter of memory alone."""
    vectors = WordEmbedder().embed([text for texts in EXAMPLES.values() for text in texts])
    whole = learn(np.array([0, 1]), vectors, np.array([3, 3]))
    monkeypatch.setattr(classifier, "_ROWS", 2)
    pieces = learn(np.array([0, 1]), vectors, np.array([3, 3]))

    assert whole is not None
    assert pieces is not None
    assert pieces.changes == pytest.approx(whole.changes, abs=1e-6)


def test_order_changes_and_the_best_score_does_not() -> None:
    """Thresholds keep their meaning: the height of the best stays, the distance to the others is what was learned."""
    scores = np.array([0.5, 0.49, 0.3])
    found = Classifier(np.array([0, 1]), np.array([[-0.1, 0], [0.1, 0]], np.float32))

    found.reorder(scores, np.array([1, 0], np.float32), np.zeros(3, bool))

    assert scores == pytest.approx([0.37, 0.5, 0.3], abs=1e-6)


def test_choice_that_refuses_does_not_hold_the_height() -> None:
    """The best is the best of those that want the text; where all refuse, nothing happens."""
    changes = np.array([[0.1, 0], [-0.1, 0]], np.float32)
    query = np.array([1, 0], np.float32)
    scores = np.array([0.5, 0.4])

    Classifier(np.array([0, 1]), changes).reorder(scores, query, np.array([True, False]))
    assert scores[1] == pytest.approx(0.4)

    before = scores.copy()
    Classifier(np.array([0, 1]), changes).reorder(scores, query, ~NOBODY)
    assert scores.tolist() == before.tolist()


def test_choices_with_too_few_examples_are_not_learned() -> None:
    """A description and what a choice takes are no examples, and one choice alone has nothing to be told from."""
    few: Choices = {"a": ("D.", "In.", "x", "y"), "b": ("D.",), "c": ()}

    assert learned_places({**few, **LEARNED}).tolist() == [3, 4]
    assert learned_places({**few, "arrival": LEARNED["arrival"]}).tolist() == []
    assert learned_places(few).tolist() == []


def test_too_many_texts_and_choices_are_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of ten thousand agents is built without a classifier rather than late."""
    vectors = WordEmbedder().embed([text for texts in EXAMPLES.values() for text in texts])
    monkeypatch.setattr(classifier, "MAX_PAIRS", 11)

    assert learn(np.array([0, 1]), vectors, np.array([3, 3])) is None


def test_scorer_places_what_neighbours_share_by_what_tells_them_apart() -> None:
    """A score is the nearest texts' and the classifier's together; a choice without examples keeps its own."""
    other: Choices = {"mail": ("Parcel hello.",)}
    scorer, plain = Scorer(WordEmbedder()), Scorer(WordEmbedder())
    few: Choices = {name: texts[:4] for name, texts in LEARNED.items()}
    query = "card card stolen"

    learned = scorer.place(query, {**LEARNED, **other})
    unlearned = plain.place(query, {**few, **other})

    assert dict(zip(learned.names, learned.dense, strict=True))["mail"] == pytest.approx(
        dict(zip(unlearned.names, unlearned.dense, strict=True))["mail"]
    )
    gap, gap_before = (signals.dense[1] - signals.dense[0] for signals in (learned, unlearned))
    assert gap > gap_before > 0


def test_equal_choices_are_learned_alike_whatever_was_indexed_before() -> None:
    """Where the vectors lie in the store does not change what they teach."""
    fresh, used = Scorer(WordEmbedder()), Scorer(WordEmbedder())
    used.index({"other": ("Invoice.", "", "hello invoice", "parcel", "late"), **LEARNED})

    assert used.signals("card late", LEARNED) == fresh.signals("card late", LEARNED)


def test_learning_ends_when_the_scorer_is_stopped() -> None:
    """The check between steps is asked, and what it raises comes out."""

    def stop() -> None:
        raise Stopped

    vectors = WordEmbedder().embed([text for texts in EXAMPLES.values() for text in texts])
    with pytest.raises(Stopped):
        learn(np.array([0, 1]), vectors, np.array([3, 3]), stop)
