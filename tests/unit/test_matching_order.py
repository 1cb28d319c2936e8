"""Order among equal scores: likeness below 0 scores 0, and who is nearer stands before who is farther all the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from connectors.chat_model import ChatModel
from connectors.embedded_model import EmbeddedChatModel
from connectors.matcher import Matcher
from connectors.scripted_model import ScriptedChatModel
from connectors.shortlisting_model import ShortlistingChatModel
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import Decision
from signalbox.contracts.nearness import nearest_first
from signalbox.evaluation.rows import LabelledRow
from signalbox.evaluation.trial import Trial
from signalbox.matching.combine import combine
from signalbox.matching.embedder import Vectors
from signalbox.matching.scorer import Scorer, Signals
from signalbox.routing.candidates import MAX_LISTED
from signalbox.routing.rules import Rulebook
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, rulebook

QUERY = "0"
LIKENESS = st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 2))


class CompassEmbedder:
    """A text points where its last number says, in degrees; beyond 90 from the query its likeness is below 0."""

    name = "compass"
    dimension = 2

    def embed(self, texts: Sequence[str]) -> Vectors:
        angles = [np.radians(int(re.findall(r"\d+", text)[-1])) for text in texts]
        return np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)


def desk(degrees: int, more: str = "") -> tuple[str, ...]:
    return (f"Goes to {degrees}.{more}", f"Comes from {degrees}.")


# By name the farthest of those that score 0 would be the first of them.
CHOICES = {
    "a_170": desk(170),
    "b_100": desk(100),
    "c_95": desk(95, " Not for 0."),
    "d_110": desk(110),
    "e_60": desk(60),
}
NEAREST_FIRST = ["e_60", "b_100", "d_110", "a_170", "c_95"]
FLEET = rulebook(*(agent(name, ["text"], description=said[0]) for name, said in CHOICES.items()))


def signals(likenesses: dict[str, tuple[float, float]], refused: frozenset[str]) -> Signals:
    dense, lexical = np.array(list(likenesses.values()), np.float64).reshape(-1, 2).T
    return Signals(tuple(likenesses), dense, lexical, refused, nearest=lambda name: name)


def decided(answer: ChatAnswer) -> Decision:
    world = Simulation(FLEET)
    world.send(message("m-1", {"text": QUERY}))
    world.answer("c-1", answer)
    (decision,) = world.decisions
    return decision


def asked(model: ChatModel, rules: Rulebook = FLEET) -> ChatAnswer:
    world = Simulation(rules)
    world.send(message("m-1", {"text": QUERY}))

    async def ask() -> ChatAnswer:
        try:
            return await model.complete(world.questions["c-1"].request, timeout_seconds=20)
        finally:
            await model.close()

    return asyncio.run(ask())


def by_compass() -> ChatAnswer:
    return asked(EmbeddedChatModel(Matcher(CompassEmbedder())))


def test_choices_that_score_0_stand_by_their_likeness_and_those_that_refused_last() -> None:
    """Below 0 nearer is still nearer; a refusal is farther than any likeness. The scores stay 0."""
    scores = Scorer(CompassEmbedder()).place(QUERY, CHOICES).combined(0.3)

    assert list(scores) == NEAREST_FIRST
    assert scores["e_60"] > 0
    assert [scores[name] for name in NEAREST_FIRST[1:]] == [0, 0, 0, 0]


def test_choices_equally_near_stand_in_their_own_order() -> None:
    """What cannot be told apart is not shuffled: equal questions have equal answers."""
    found = signals({"b": (-0.2, 0), "c": (-0.1, 0), "a": (-0.2, 0)}, frozenset())

    assert list(found.combined(0.3)) == ["c", "b", "a"]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(LIKENESS, LIKENESS), min_size=1),
    st.sets(st.sampled_from("abcdef")),
    st.sampled_from([0.0, 0.3, 0.5]),
)
def test_order_falls_by_score_and_changes_no_score(
    likenesses: dict[str, tuple[float, float]], refused: set[str], weight: float
) -> None:
    """Thresholds are fitted on the scores without an order; they mean the same with it, and the first has the best score."""
    # What a choice refused is 0 in both, as the index gives it.
    known = {name: (0.0, 0.0) if name in refused else both for name, both in likenesses.items()}
    found = signals(known, frozenset(refused & set(known))).combined(weight)
    dense, lexical = ({name: both[n] for name, both in known.items()} for n in (0, 1))

    assert found == combine(dense, lexical, weight)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_equal_scores_keep_the_order_they_were_given_in() -> None:
    """By score; among equals as the scorer gave them; whoever it does not know last; others' scores are left aside."""
    scores = {"d": 0.5, "z": 0.0, "other": 0.4, "b": 0.0, "c": 0.0}

    assert nearest_first(("a", "b", "c", "d", "z"), scores) == ["d", "z", "b", "c", "a"]
    assert nearest_first(("b", "a"), {}) == ["b", "a"]


def test_record_lists_candidates_that_score_0_by_nearness() -> None:
    """`explain` shows the record's order: of two with 0.00 the nearer stands first, whatever their names."""
    decision = decided(by_compass())

    assert [one.agent for one in decision.candidates] == NEAREST_FIRST
    assert [one.score for one in decision.candidates][1:] == [0, 0, 0, 0]


def test_record_that_cannot_list_all_leaves_out_the_farthest() -> None:
    """Of more candidates than a record has room for, those listed are the nearest, also where all score 0."""
    names = [f"agent_{n:02}" for n in range(MAX_LISTED + 5)]
    by_nearness = dict.fromkeys(reversed(names), 0.0)
    world = Simulation(rulebook(*(agent(name, ["text"]) for name in names)))
    world.send(message("m-1", {"text": QUERY}))
    said = {"agent": names[-1], "reason": "why", "confidence": 0.9}
    world.answer("c-1", ChatAnswer(orjson.dumps(said).decode(), "m", scores=by_nearness))
    (decision,) = world.decisions

    assert [one.agent for one in decision.candidates] == list(by_nearness)[:MAX_LISTED]


def test_evaluation_ranks_candidates_that_score_0_by_nearness() -> None:
    """Whether the right agent is among the first three is asked of the order that the record shows."""
    trial = Trial(LabelledRow(1, "r", ("b_100",), {"text": QUERY}, is_text=True), FLEET)
    trial.begin()
    trial.answer(by_compass())

    assert list(trial.prediction(model_calls=1, decision_ms=1.0).shortlist) == NEAREST_FIRST


def test_model_is_asked_of_the_nearest_also_where_they_score_0() -> None:
    """Twenty of thirty are asked about: the nearest, though all score 0 and others' names come before."""
    # The larger the number in front, the nearer.
    names = [f"desk_{n:02}_{150 - n}" for n in range(30)]
    book = rulebook(*(agent(name, ["text"], description=f"Goes to {name[8:]}.") for name in names))
    model = ShortlistingChatModel(
        ScriptedChatModel({"route": {"agent": "NONE", "reason": "why", "confidence": 0.9}}),
        lambda: Matcher(CompassEmbedder()),
    )

    answer = asked(model, book)

    assert set(answer.scores.values()) == {0}
    assert list(answer.shortlist) == names[:9:-1]
