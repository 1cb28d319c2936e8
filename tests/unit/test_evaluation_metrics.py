"""The figures of an evaluation, against values worked out by hand."""

from __future__ import annotations

import pytest

from signalbox.evaluation.metrics import (
    confusions,
    macro_f1,
    per_class,
    scope_at,
    shortlist_recall,
)
from signalbox.evaluation.reliability import reliability
from signalbox.evaluation.report import Asked, predictions, report
from signalbox.evaluation.results import Result
from signalbox.evaluation.rows import LabelledRow
from signalbox.evaluation.trial import Prediction
from tests.support.fleets import agent, rulebook

RULES = rulebook(agent("a", ["text"]), agent("b", ["text"]))
ASKED = Asked("fleet", "rows", "embedded", "embedded", "contract_first", {})


def result(
    expected: str | tuple[str, ...],
    answered: str,
    score: float = 0.5,
    *,
    shortlist: tuple[str, ...] = (),
    confidence: float | None = None,
    error: str | None = None,
    number: int = 1,
) -> Result:
    allowed = (expected,) if isinstance(expected, str) else expected
    labelled = LabelledRow(number, f"r-{number}", allowed, {"text": "t"}, is_text=True)
    made = Prediction(
        answered,
        "model",
        "why",
        score,
        shortlist,
        confidence,
        decision_ms=float(number),
        error=error,
    )
    return Result(labelled, made)


# a: 3 rows, 2 right, 1 as b. b: 2 rows, 1 right, 1 NONE. NONE: 2 rows, 1 right, 1 as a.
SEVEN = [
    result("a", "a", 0.9),
    result("a", "a", 0.8),
    result("a", "b", 0.3),
    result("b", "b", 0.7),
    result("b", "NONE", 0.2),
    result("NONE", "NONE", 0.1),
    result("NONE", "a", 0.6),
]


def test_shares_are_those_worked_out_by_hand() -> None:
    """Accuracy over all, in scope, NONE, refused and wrong, each of its own whole."""
    found = report(SEVEN, RULES, ASKED)

    assert (found["rows"], found["in_scope"], found["out_of_scope"], found["right"]) == (7, 5, 2, 4)
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["in_scope_accuracy"] == pytest.approx(3 / 5)
    assert (found["none_precision"], found["none_recall"]) == (0.5, 0.5)
    assert found["in_scope_answered_none"] == pytest.approx(1 / 5)
    assert found["wrong_among_answered"] == pytest.approx(2 / 5)


def test_macro_f1_weighs_every_answer_alike() -> None:
    """F1 of a 4/6, of b 2/4, of NONE 2/4."""
    assert macro_f1(per_class(SEVEN)) == pytest.approx((4 / 6 + 2 / 4 + 2 / 4) / 3)


def test_answer_that_is_never_right_counts_into_macro_f1() -> None:
    """An agent that only ever took what was not its own has F1 0."""
    assert macro_f1(per_class([result("a", "a"), result("a", "b")])) == pytest.approx(
        (2 / 3 + 0) / 2
    )


def test_threshold_refuses_at_most_five_percent_of_the_in_scope_rows() -> None:
    """Of forty in-scope rows two may go; the NONE rows below the third-lowest score are found."""
    inside = [result("a", "a", (n + 1) / 100) for n in range(40)]
    outside = [result("NONE", "NONE", score) for score in (0.005, 0.02, 0.029, 0.03, 0.5)]
    found = scope_at([*inside, *outside])

    assert (found.threshold, found.none_recall) == (0.03, 3 / 5)


def test_equal_scores_are_never_refused_beyond_the_share() -> None:
    """Where everything scores alike, nothing can be refused."""
    assert scope_at([result("a", "a", 0.5), result("NONE", "a", 0.5)]).none_recall == 0.0


def test_shortlist_recall_looks_at_in_scope_rows_also_where_the_answer_was_none() -> None:
    """The shortlist is judged apart from the threshold."""
    rows = [
        result("a", "NONE", shortlist=("b", "a")),
        result("b", "b", shortlist=("b", "a")),
        result("NONE", "NONE", shortlist=("a", "b")),
    ]

    assert (shortlist_recall(rows, 1), shortlist_recall(rows, 3)) == (0.5, 1.0)


def test_any_allowed_answer_is_right_and_the_first_is_the_truth_of_a_wrong_one() -> None:
    """An ambiguous row is counted where it was allowed to go."""
    right, wrong = result(("a", "b"), "b"), result(("a", "NONE"), "b")

    assert (right.is_right, right.truth, wrong.is_right, wrong.truth) == (True, "b", False, "a")


def test_row_without_an_answer_is_wrong_even_where_none_was_right() -> None:
    """A model that is away gets no credit for saying nothing."""
    found = report([result("NONE", "NONE", error="busy")], RULES, ASKED)

    assert (found["right"], found["unanswered"]) == (0, [{"id": "r-1", "error": "busy"}])


def test_confused_pairs_come_by_number_with_their_first_examples() -> None:
    """The pair to mend first is on top."""
    rows = [result("b", "a", number=1)] + [result("a", "b", number=n) for n in range(2, 7)]
    first, second = confusions(rows)

    assert (first.expected, first.answered, first.count) == ("a", "b", 5)
    assert [one.row.id for one in first.examples] == ["r-2", "r-3", "r-4"]
    assert second.count == 1


def test_calibration_error_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    """Two of four right at 0.9, one of one at 1.0: both are in the last bin, of mean confidence 0.92."""
    rows = [result("a", name, confidence=0.9) for name in ("a", "a", "b", "b")]
    rows += [result("a", "a", confidence=1.0), result("a", "a")]
    found = reliability(rows)

    assert (found.rows, len(found.bins), found.bins[0].count) == (5, 1, 5)
    assert found.ece == pytest.approx(abs(0.92 - 3 / 5))


def test_nothing_to_measure_is_null_and_not_a_figure() -> None:
    """A share of nothing would be read as bad or good."""
    found = report([result("a", "a", shortlist=("a",))], RULES, ASKED)

    assert found["none_precision"] is None
    assert found["none_recall"] is None
    assert found["none_recall_at_5_percent_refused"] is None
    assert found["calibration"] == {"rows": 0, "ece": None, "bins": []}


def test_times_are_quantiles_of_single_decisions() -> None:
    """The middle and the slow end of a hundred rows."""
    found = report([result("a", "a", number=n) for n in range(1, 101)], RULES, ASKED)

    assert found["decision_ms"] == {"p50": 51.0, "p99": 100.0, "max": 100.0}


def test_predictions_are_in_the_rows_order_with_their_stable_names() -> None:
    """Other programs join them by id."""
    (one,) = predictions([result("a", "NONE", 0.25, shortlist=("b", "a"))])

    assert {name: one[name] for name in ("id", "agent", "score", "shortlist")} == {
        "id": "r-1",
        "agent": "NONE",
        "score": 0.25,
        "shortlist": ["b", "a"],
    }
