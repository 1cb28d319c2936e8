"""Agents that do the same: who of them is given a message, what the record says, and what a model is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.liveness import Load
from signalbox.definitions.specs import Preference
from signalbox.routing.colleagues import shares_of
from signalbox.routing.rules import Rulebook
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, reply, rulebook

FREE, FULL = Load(0.0, 1.0, 1000), Load(1.0, 1.0, 1000)
ALL = Preference()


def writers(*names: str, **more: Any) -> list[Any]:
    """Agents that do `writing`."""
    return [agent(name, ["brief"], capability="writing", **more) for name in names]


def loaded(book: Rulebook, **loads: Load) -> Simulation:
    """A world in which agents do as `loads` says."""
    return Simulation(replace(book, loads=loads))


def given(world: Simulation, number: int) -> Counter[str]:
    """Send so many messages, each in a conversation of its own; who got them."""
    for one in range(number):
        world.send(message(f"m-{one}", {"brief": "b"}, conversation=f"c-{one}"))
    return Counter(one.agent for one in world.dispatches)


def test_one_of_several_that_do_the_same_is_given_it_and_no_model_is_asked() -> None:
    """The record lists who was drawn, by what, and whom it left out; the path is the contract's."""
    world = loaded(rulebook(*writers("ann", "bob")), ann=Load(0.9, 0.97, 3000), bob=FREE)
    world.send(message("m-1", {"brief": "b"}))

    assert not world.questions
    (decision,) = world.decisions
    assert (decision.path, len(world.dispatches)) == ("contract", 1)
    chosen, other = decision.candidates
    assert (chosen.agent, chosen.accepted) == (decision.agent, True)
    assert not other.accepted
    assert other.violations[0].startswith(
        f"left out for {decision.agent}, which does writing as well"
    )
    assert decision.reason.startswith(f"{decision.agent} was drawn of 2 that do writing: share 0.")
    assert "90% busy, 97% reliable, 3000 ms a task" in f"{decision.reason} {other.violations[0]}"


def test_equals_share_alike_and_the_same_message_goes_to_the_same() -> None:
    """Without any heartbeat everybody is as good as another; the draw is a hash, no dice."""
    first = given(Simulation(rulebook(*writers("ann", "bob", "cyd"))), 900)
    again = given(Simulation(rulebook(*writers("ann", "bob", "cyd"))), 900)

    assert first == again
    assert all(250 < first[name] < 350 for name in ("ann", "bob", "cyd"))


def test_an_agent_that_comes_takes_of_all_and_moves_nothing_between_the_others() -> None:
    """What does not go to the new one stays where it was."""
    before, after = (
        Simulation(rulebook(*writers("ann", "bob"))),
        Simulation(rulebook(*writers("ann", "bob", "cyd"))),
    )
    given(before, 300)
    given(after, 300)
    moved = [
        (old.agent, new.agent)
        for old, new in zip(before.dispatches, after.dispatches, strict=True)
        if old.agent != new.agent
    ]

    assert {new for _, new in moved} == {"cyd"}
    assert 60 < len(moved) < 140


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (FREE, Load(0.8, 1.0, 1000)),
        (FREE, Load(0.0, 0.2, 1000)),
        (FREE, Load(0.0, 1.0, 5000)),
    ],
    ids=["busy", "unreliable", "slow"],
)
def test_shares_follow_load_reliability_and_latency(better: Load, worse: Load) -> None:
    """Each alone: five times as good has five times the share; without its weight it counts nothing."""
    shares = shares_of({"ann": better, "bob": worse}, ALL)
    assert shares["ann"] == pytest.approx(5 / 6)
    nothing = Preference(load=0, reliability=0, latency=0)
    assert shares_of({"ann": better, "bob": worse}, nothing)["ann"] == pytest.approx(0.5)


def test_shares_of_messages_are_as_they_were_reckoned() -> None:
    """The draw keeps to the shares."""
    found = given(
        loaded(rulebook(*writers("ann", "bob")), ann=FREE, bob=Load(0.75, 1.0, 1000)), 1000
    )

    assert found["ann"] == pytest.approx(800, abs=40)


def test_who_is_full_or_always_fails_is_tried_now_and_then() -> None:
    """Otherwise nobody would see it recover."""
    for load in (FULL, Load(0.0, 0.0, 1000)):
        found = given(loaded(rulebook(*writers("ann", "bob")), ann=FREE, bob=load), 1000)
        assert 20 < found["bob"] < 90


def test_a_fleet_says_what_counts() -> None:
    """`prefer` weighs; a slow agent that is free is as good as a fast one where only load counts."""
    policy = {"prefer": {"latency": 0, "reliability": 0}}
    book = rulebook(*writers("ann", "bob"), policy=policy)
    found = given(loaded(book, ann=FREE, bob=Load(0.0, 1.0, 50_000)), 600)

    assert found["bob"] == pytest.approx(300, abs=50)


def test_who_failed_is_not_drawn_while_another_can_be_reached() -> None:
    """Whatever its heartbeats said last; of all that failed one is given it all the same, and it waits."""
    book = rulebook(*writers("ann", "bob"))
    assert given(Simulation(replace(book, failed={"ann": 1})), 50) == {"bob": 50}
    assert sum(given(Simulation(replace(book, failed={"ann": 1, "bob": 1})), 50).values()) == 50


def test_a_model_is_asked_of_one_for_each_capability() -> None:
    """Five candidates are three: the prompt is smaller, and its answer is understood as it was asked."""
    others = (agent("edit", ["brief"]), agent("read", ["brief"]))
    world = loaded(rulebook(*writers("ann", "bob", "cyd"), *others), ann=FULL, bob=FREE, cyd=FULL)
    world.send(message("m-1", {"brief": "b"}))
    choices = world.questions["c-1"].request.choices
    (drawn,) = set(choices) & {"ann", "bob", "cyd"}
    # How everybody does may change while the model thinks.
    world.rulebook = replace(world.rulebook, loads={})
    world.answer(
        "c-1", ChatAnswer(text=f'{{"agent":"{drawn}","reason":"r","confidence":0.9}}', model="stub")
    )

    assert set(choices) == {drawn, "edit", "read"}
    (decision,) = world.decisions
    assert (decision.agent, decision.path) == (drawn, "model")
    assert sum("left out for" in (*one.violations, "")[0] for one in decision.candidates) == 2
    assert not world.state_of("c-1").detours


def test_a_contract_that_refuses_the_data_is_no_colleague() -> None:
    """Only who accepts it is drawn among; alone it is chosen as ever."""
    world = Simulation(rulebook(*writers("ann"), agent("bob", ["text"], capability="writing")))
    world.send(message("m-1", {"brief": "b"}))

    assert world.decisions[0].reason == "only ann accepts the data"


def test_a_target_is_a_word_and_nobody_is_drawn() -> None:
    """Who is named gets it, however busy."""
    world = loaded(rulebook(*writers("ann", "bob")), ann=FULL, bob=FREE)
    world.send(message("m-1", {"brief": "b"}, target="ann"))

    assert [one.agent for one in world.dispatches] == ["ann"]


def test_a_task_whose_agent_fell_silent_goes_to_a_colleague() -> None:
    """Also to one that was left out the first time: being spared once is no reason to be avoided."""
    world = Simulation(rulebook(*writers("ann", "bob", on_silence="reroute")))
    world.send(message("m-1", {"brief": "b"}))
    first = world.dispatches[0].agent
    world.notice_failure(first)

    (other,) = {"ann", "bob"} - {first}
    assert [one.agent for one in world.dispatches] == [first, other]
    world.send(reply(world.dispatches[1].task, {"done": 1}, kind="over"))
    assert [one.status for one in world.outcomes] == ["none"]


def test_a_task_is_taken_from_one_silent_colleague_to_the_next_until_none_is_left() -> None:
    """Whom a draw left out comes up in a later one; only who was tried is avoided."""
    names = {"ann", "bob", "cyd"}
    world = Simulation(rulebook(*writers(*names, on_silence="reroute")))
    world.send(message("m-1", {"brief": "b"}))
    for number in (1, 2, 3):
        world.notice_failure(world.dispatches[-1].agent)
        assert len(world.dispatches) == min(number + 1, 3)

    assert {one.agent for one in world.dispatches} == names
    assert "waits for it" in world.decisions[-1].reason


def test_a_message_nobody_takes_after_a_draw_leaves_nothing_in_state() -> None:
    """A model said NONE: whom the question left out is forgotten with it."""
    world = Simulation(rulebook(*writers("ann", "bob"), agent("edit", ["brief"])))
    world.send(message("m-0", {"brief": "b"}, target="edit"))
    world.send(message("m-1", {"brief": "b"}))
    assert world.state_of("c-1").detours
    world.answer(
        "c-1", ChatAnswer(text='{"agent":"NONE","reason":"r","confidence":0.9}', model="s")
    )

    assert world.state_of("c-1").is_open
    assert not world.state_of("c-1").detours
