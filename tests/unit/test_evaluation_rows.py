"""Labelled rows: what a file may say, and that every mistake in it is named with its line and what is right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from signalbox.errors import UsageError
from signalbox.evaluation.rows import LabelledRow, read_rows

AGENTS = frozenset({"banking", "travel"})


def read(*lines: str | dict[str, Any]) -> tuple[LabelledRow, ...]:
    raw = [(line if isinstance(line, str) else json.dumps(line)).encode() for line in lines]
    return read_rows(raw, AGENTS, name="rows.jsonl")


def test_text_row_is_data_with_a_text() -> None:
    """What agents are given is an object in either case, so the same contracts judge it."""
    (row,) = read({"id": "a", "text": "hello", "expected": "NONE", "intent": "greeting"})

    assert (row.data, row.is_text, row.expected) == ({"text": "hello"}, True, ("NONE",))


def test_row_may_allow_several_answers_and_name_its_sender() -> None:
    """An ambiguous row has a list, the best first; `sender` is another word for `from`."""
    (row,) = read({"id": 7, "data": {}, "expected": ["travel", "NONE"], "sender": "banking"})

    assert (row.id, row.expected, row.sender) == (7, ("travel", "NONE"), "banking")


def test_row_without_an_id_has_its_lines_number() -> None:
    """Predictions can be joined all the same; a number that another row has as its id is refused."""
    first, second = read(
        {"text": "x", "expected": "NONE"}, {"id": "b", "text": "y", "expected": "NONE"}
    )

    assert (first.id, second.id) == (1, "b")
    with pytest.raises(UsageError, match="id 2 is also on line 1"):
        read({"id": 2, "text": "x", "expected": "NONE"}, {"text": "y", "expected": "NONE"})


def test_blank_lines_are_skipped_and_counted() -> None:
    """Line numbers are those of the file."""
    (row,) = read("", {"id": "a", "text": "x", "expected": "NONE"}, "  ")

    assert row.line == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON object is needed, got [1]"),
        ({"id": None, "text": "x", "expected": "NONE"}, "id must be a string or a whole number"),
        ({"id": True, "text": "x", "expected": "NONE"}, "id must be"),
        ({"id": "a", "expected": "NONE"}, "either text (a string) or data (an object)"),
        ({"id": "a", "text": "x", "data": {}, "expected": "NONE"}, "got both"),
        ({"id": "a", "text": 1, "expected": "NONE"}, "text must be a string, got 1"),
        ({"id": "a", "data": [], "expected": "NONE"}, "data must be an object, got []"),
        ({"id": "a", "text": "x"}, "expected is missing; name the agent that should act, or NONE"),
        ({"id": "a", "text": "x", "expected": 3}, "expected must be an agent, NONE, or a list"),
        ({"id": "a", "text": "x", "expected": []}, "expected must be"),
        ({"id": "a", "text": "x", "expected": "travle"}, "did you mean 'travel'?"),
        (
            {"id": "a", "text": "x", "expected": "none"},
            "no agent 'none'; there are banking, travel",
        ),
        ({"id": "a", "data": {}, "expected": "NONE", "from": "nobody"}, "from: no agent 'nobody'"),
        (
            {"id": "a", "data": {}, "expected": "NONE", "from": "travel", "sender": "banking"},
            "give one of them",
        ),
        (
            {"id": "a", "data": {}, "expected": "NONE", "from": "travel", "source": "cli"},
            "exclude each other",
        ),
        ({"id": "a", "data": {}, "expected": "NONE", "type": 1}, "type must be a string, got 1"),
    ],
)
def test_line_that_cannot_be_used_is_named_with_what_is_right(line: Any, said: str) -> None:
    """An error has file, line, the value and the remedy."""
    with pytest.raises(UsageError) as raised:
        read({"id": "first", "text": "x", "expected": "NONE"}, line)

    assert "rows.jsonl:2: " in str(raised.value)
    assert said in str(raised.value)


def test_second_row_of_one_id_is_refused_with_both_lines() -> None:
    """Predictions are joined by id, so an id is there once."""
    row = {"id": "a", "text": "x", "expected": "NONE"}

    with pytest.raises(UsageError, match=r"rows.jsonl:2: id 'a' is also on line 1"):
        read(row, row)


def test_file_without_rows_is_refused() -> None:
    """Nothing to evaluate is no success."""
    with pytest.raises(UsageError, match="no rows; write one JSON object a line"):
        read("", " ")


def test_every_wrong_line_is_named_up_to_twenty() -> None:
    """A whole file of mistakes is mended in one go, and does not fill the screen."""
    with pytest.raises(UsageError) as raised:
        read(*[{"id": str(n), "text": "x"} for n in range(600)])

    said = str(raised.value).splitlines()
    assert said[0] == "600 lines cannot be used, so nothing was evaluated"
    assert len(said) == 22
    assert said[-1] == "… and 580 more lines"
