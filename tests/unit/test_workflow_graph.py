"""The order between steps, for any graph: what may begin, what comes before what, where it is a circle."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.workflows.graph import before, cycle, order, ready

DIAMOND = {"ship": ["pack", "charge"], "pack": ["reserve"], "charge": ["reserve"], "reserve": []}


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, list[str]]:
    """A graph without circles, its steps in any order."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 12)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        for number, name in enumerate(names)
    }
    return {name: needs[name] for name in draw(st.permutations(names))}


GRAPHS = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), unique=True), min_size=1
).map(lambda needs: {step: [one for one in ones if one in needs] for step, ones in needs.items()})


def test_a_diamond_begins_at_its_root_and_ends_where_all_is_done():
    """Independent steps are ready together, a join only when both are through."""
    assert ready(DIAMOND, done=[]) == ("reserve",)
    assert ready(DIAMOND, done=["reserve"]) == ("pack", "charge")
    assert ready(DIAMOND, done=["reserve", "pack"], begun=["charge"]) == ()
    assert ready(DIAMOND, done=["reserve", "pack"], skipped=["charge"]) == ("ship",)
    assert before(DIAMOND, "ship") == {"pack", "charge", "reserve"}


@pytest.mark.parametrize(
    ("needs", "told"),
    [({"a": ["a"]}, "a → a"), ({"a": ["c"], "b": ["a"], "c": ["b"]}, " → ")],
)
def test_a_circle_is_told_step_by_step(needs, told):
    """The error shows the way round."""
    with pytest.raises(ValueError, match="circle") as caught:
        order(needs)

    assert told in str(caught.value)


@given(needs=acyclic())
def test_every_order_puts_what_is_needed_first(needs):
    """All steps once, each after what it needs and what those need."""
    found = order(needs)

    assert sorted(found) == sorted(needs)
    for step in needs:
        assert before(needs, step) <= set(found[: found.index(step)])


@given(needs=acyclic(), seed=st.randoms(use_true_random=False))
def test_whoever_does_what_is_ready_gets_through(needs, seed):
    """Ending ready steps in any order, done or skipped, ends all of them, each after what it needs."""
    done: list[str] = []
    skipped: list[str] = []
    while open_steps := ready(needs, done, skipped):
        step = seed.choice(open_steps)

        assert before(needs, step) <= {*done, *skipped}
        seed.choice([done, skipped]).append(step)

    assert {*done, *skipped} == set(needs)


@given(needs=GRAPHS)
def test_there_is_an_order_or_a_circle_never_both(needs):
    """A circle is one: each of its steps needs the one that follows it, and the last is the first."""
    found = cycle(needs)
    if found is None:
        assert sorted(order(needs)) == sorted(needs)
        return
    assert found[0] == found[-1]
    assert all(later in needs[earlier] for earlier, later in pairwise(found))
    with pytest.raises(ValueError, match="circle"):
        order(needs)
