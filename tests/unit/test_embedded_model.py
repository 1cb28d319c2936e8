"""The embedded scorer: scores between 0 and 1, NONE by threshold and margin, reasons by words."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.embedded_model import EmbeddedChatModel
from connectors.lexical_scorer import LexicalScorer
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import TerminalError
from signalbox.matching.words import words

CHOICES = {
    "billing": ("Answers questions about invoices, refunds and payments.", "I was charged twice"),
    "delivery": (
        "Finds parcels that are late or lost. Not for: letters, vouchers by mail.",
        "Where is my parcel?",
    ),
}
REQUEST = ChatRequest(
    system="",
    user="",
    schema={},
    schema_name="route",
    choices=CHOICES,
    calibration={"none_below": 0.15, "margin": 0.0},
)


def place(text: str, **calibration: float) -> tuple[dict[str, object], ChatAnswer]:
    """Place `text` among billing and delivery."""
    request = replace(REQUEST, query=text, calibration={**REQUEST.calibration, **calibration})
    answer = asyncio.run(EmbeddedChatModel().complete(request, timeout_seconds=1))
    return orjson.loads(answer.text), answer


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("my parcels are lost", "delivery"),
        ("I want a refund of my payment", "billing"),
        ("charged me two times, twice!", "billing"),
        ("what is the capital of France", "NONE"),
        ("late vouchers by mail", "NONE"),
        ("late parcels", "delivery"),
        ("", "NONE"),
    ],
)
def test_text_is_placed_by_the_words_it_shares(text: str, agent: str) -> None:
    """Inflected words match; foreign texts and what a choice is not for match nobody."""
    assert place(text)[0]["agent"] == agent


def test_reason_names_the_words_that_matched() -> None:
    """A person can see why."""
    assert "parcel" in str(place("where is the parcel")[0]["reason"])


def test_refused_text_is_none_and_names_the_words_that_refused() -> None:
    """What a definition is not for is said, not only that the score is low."""
    assert "not for mail, vouchers" in str(place("late vouchers by mail")[0]["reason"])


def test_score_below_the_threshold_is_none_and_names_the_nearest() -> None:
    """`none_below` decides, and the reason says by how much."""
    fields, answer = place("where is the parcel", none_below=0.99)

    assert fields["agent"] == "NONE"
    assert "below 0.99; nearest is delivery" in str(fields["reason"])
    assert answer.scores["delivery"] > 0


def test_choices_closer_than_the_margin_are_none() -> None:
    """A near tie is not decided, whatever the order of the choices."""
    assert place("a refund for my lost parcel", margin=0.9)[0]["agent"] == "NONE"
    assert "too close" in str(place("a refund for my lost parcel", margin=0.9)[0]["reason"])


def test_exact_tie_is_none() -> None:
    """Two agents with the same words: a wrong agent is worse than none."""
    request = replace(
        REQUEST, query="late parcel", choices={"a": ("late parcels",), "b": ("late parcels",)}
    )
    answer = asyncio.run(EmbeddedChatModel().complete(request, timeout_seconds=1))

    assert orjson.loads(answer.text)["agent"] == "NONE"


def test_request_without_choices_says_what_to_configure() -> None:
    """The embedded model writes no texts, and says what does."""
    with pytest.raises(TerminalError, match="SIGNALBOX_MODEL__PROVIDER"):
        asyncio.run(EmbeddedChatModel().complete(replace(REQUEST, choices={}), timeout_seconds=1))


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z]{1,8}\Z"),
        st.lists(st.text(max_size=40), max_size=3).map(tuple),
        min_size=1,
        max_size=4,
    ),
    st.text(max_size=80),
)
def test_any_text_among_any_choices_scores_between_0_and_1(
    choices: dict[str, tuple[str, ...]], text: str
) -> None:
    """Scores are bounded and repeatable, and the answer is one of the choices or NONE."""
    scores = LexicalScorer(choices).place(text).scores
    request = replace(REQUEST, query=text, choices=choices)
    fields = orjson.loads(
        asyncio.run(EmbeddedChatModel().complete(request, timeout_seconds=1)).text
    )

    assert list(scores) == list(choices)
    assert all(0 <= score <= 1 + 1e-9 for score in scores.values())
    assert scores == LexicalScorer(choices).place(text).scores
    assert fields["agent"] in {*choices, "NONE"}
    assert 0 <= fields["confidence"] <= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("demo", "demos"),
        ("planning", "planned"),
        ("company", "companies"),
        ("price", "prices"),
        ("schedule", "scheduling"),
        ("Don’t", "don't"),
    ],
)
def test_inflections_share_a_stem(one: str, other: str) -> None:
    """Number, tense and apostrophes do not matter."""
    assert words(one) == words(other)


@pytest.mark.parametrize(("one", "other"), [("mail", "main"), ("bus", "but"), ("q1", "q2")])
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    """Stemming is light: short words and numbers stay what they are."""
    assert words(one) != words(other)
