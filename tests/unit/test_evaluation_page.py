"""The page's confusion matrix: the report's own numbers, and no more of them than can be read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from signalbox.evaluation.page import MAX_MATRIX_LABELS, matrix_of


def report(names: list[str], pairs: list[tuple[str, str, int]]) -> dict[str, Any]:
    """Ten rows of each name, those of `pairs` answered wrong."""
    wrong = {name: sum(n for expected, _, n in pairs if expected == name) for name in names}
    return {
        "agents": {name: {"expected": 10, "right": 10 - wrong[name]} for name in names},
        "confused": [{"expected": a, "answered": b, "count": n} for a, b, n in pairs],
    }


def test_matrix_has_every_row_of_the_report_once() -> None:
    """Right ones on the diagonal, wrong ones beside it, each row summing to what was expected."""
    matrix = matrix_of(report(["a", "b", "NONE"], [("a", "b", 3), ("b", "NONE", 1)]))

    assert matrix.labels == ("a", "b", "NONE")
    assert [[cell.count for cell in cells] for _, cells in matrix.rows] == [
        [7, 3, 0],
        [0, 9, 1],
        [0, 0, 10],
    ]
    assert [cells[n].is_right for n, (_, cells) in enumerate(matrix.rows)] == [True] * 3
    assert matrix.rows[0][1][1].share == 0.3


def test_large_matrix_shows_what_is_confused_most_and_says_what_is_left_out() -> None:
    """Two hundred columns cannot be read; the pairs to mend are what counts."""
    names = [f"agent_{n:03d}" for n in range(200)]
    matrix = matrix_of(
        report(names, [("agent_150", "agent_003", 4), ("agent_000", "agent_150", 2)])
    )

    assert matrix.labels == ("agent_000", "agent_003", "agent_150")
    assert matrix.hidden == 197
    many = matrix_of(report(names, [(one, other, 1) for one, other in pairwise(names)]))
    assert len(many.labels) == MAX_MATRIX_LABELS
