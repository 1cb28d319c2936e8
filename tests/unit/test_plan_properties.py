"""What must hold for any plan, sound or not, and any fate of its tasks: one outcome, few attempts, nobody it may not ask."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.routing.state import Conversation
from tests.support.fleets import reply
from tests.support.plans import Planned

SECONDS = 30
WORKERS = ("ann", "bob")
IDS = st.sampled_from(["a", "b", "c", "d", "e", "f"])
NAMES = st.sampled_from(["ann", "ann", "bob", "bob", "bob", "other"])


@st.composite
def sound(draw: st.DrawFn) -> Any:
    """A plan of up to six tasks, each needing some of those before it."""
    tasks: list[Any] = []
    for name in draw(st.lists(IDS, min_size=1, unique=True)):
        earlier = [one["id"] for one in tasks]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        agent = draw(st.sampled_from(WORKERS))
        tasks.append({"id": name, "agent": agent, "description": f"Do {name}.", "needs": needs})
    return tasks


ANY_TASK = st.fixed_dictionaries(
    {"id": IDS, "agent": NAMES, "description": st.just("Do it.")},
    optional={"needs": st.lists(IDS, max_size=3), "more": st.integers()},
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLANS = st.one_of(sound(), sound(), sound(), st.lists(ANY_TASK, max_size=8), st.lists(JUNK), JUNK)

PICK = st.integers(0, 9)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), PICK),
        st.tuples(st.just("answer"), PICK),
        st.tuples(st.just("answer"), PICK),
        st.tuples(st.just("fail"), PICK),
        st.tuples(st.just("again"), PICK),
        st.tuples(st.just("time"), st.sampled_from([1, SECONDS + 1])),
        st.tuples(st.just("restart"), PICK),
    ),
    max_size=30,
)


class Fate:
    """Plays actions against one run; the planner answers with one plan after the other."""

    def __init__(self, plans: list[Any], *, on_failure: str, retries: int) -> None:
        self.plans = plans
        self.work = Planned(
            on_failure=on_failure,
            retries=retries,
            rounds=1,
            max_tasks=6,
            timeout_seconds=SECONDS,
            policy={"budgets": {"hops": 1000}},
        )

    @property
    def state(self) -> Conversation:
        return self.work.world.state_of("c-1")

    def play(self, action: tuple[str, int]) -> None:
        name, argument = action
        getattr(self, name)(argument)

    def answer(self, pick: int) -> None:
        task = self._open(pick)
        if task is not None and task.target == "planner":
            self._send(task, {"tasks": self.plans.pop(0) if self.plans else []})
        elif task is not None:
            self._send(task, {"text": "done"})

    def fail(self, pick: int) -> None:
        task = self._open(pick)
        if task is not None:
            self._send(task, {"detail": "no"}, kind=TASK_FAILED)

    def again(self, pick: int) -> None:
        """An answer that comes twice, or after its task was closed."""
        tasks = [one.task for one in self.work.world.dispatches]
        closed = [one for one in tasks if one.id not in self.state.open]
        if closed:
            self._send(closed[pick % len(closed)], {"tasks": [], "text": "again"})

    def time(self, seconds: int) -> None:
        self.work.world.pass_time(seconds)

    def restart(self, _: int) -> None:
        self.work.world.restart()

    def finish(self) -> None:
        """Let every open task be answered."""
        for _ in range(200):
            if not self.state.is_open:
                return
            assert self.state.open, "it waits for nobody and does not end"
            self.answer(0)
        raise AssertionError("the run never ends")

    def _open(self, pick: int) -> Envelope | None:
        tasks = [one.task for one in self.work.world.dispatches if one.task.id in self.state.open]
        return tasks[pick % len(tasks)] if tasks else None

    def _send(self, task: Envelope, data: dict[str, Any], *, kind: str = "") -> None:
        self.work.world.send(reply(task, data, kind=kind))


@settings(max_examples=200, deadline=None)
@given(st.lists(PLANS, max_size=3), ACTIONS, st.sampled_from(["skip", "fail"]), st.integers(0, 2))
def test_any_plan_and_any_fate_end_in_one_outcome(plans, actions, on_failure, retries):
    """Once, with nothing kept; a task at most `retries` + 1 times, to its agents only, after what it needs came to rest."""
    fate = Fate(plans, on_failure=on_failure, retries=retries)
    seen = 0
    for action in [("time", 0), *actions]:
        before = fate.state.workflow
        fate.play(action)
        _follows_needs(fate, seen, before)
        seen = len(fate.work.world.dispatches)
    fate.finish()
    world = fate.work.world

    assert len(world.outcomes) == 1
    assert world.results == {}
    assert world.pending == {}
    assert {one.agent for one in world.dispatches} <= {"planner", "syn", *WORKERS}
    slots = [(one.message_id, one.slot) for one in world.decisions]
    assert len(slots) == len(set(slots))
    tasks = [one.task.id for one in world.dispatches]
    assert len(tasks) == len(set(tasks))
    given_out = Counter(
        one.slot.split(":")[1]
        for one in world.decisions
        if one.slot.startswith("step:plan_")
        if one.agent != "NONE"
    )
    assert all(count <= retries + 1 for count in given_out.values())


def _follows_needs(fate: Fate, seen: int, before: Any) -> None:
    """Each task that just went out needs only tasks that had come to rest, or do so in the same tick."""
    run = fate.state.workflow or before
    for dispatch in fate.work.world.dispatches[seen:]:
        results = dispatch.task.data.get("results")
        if dispatch.agent not in WORKERS or run is None:
            continue
        assert all(run.step(f"plan_{one}").status in {"done", "skipped"} for one in results)


@settings(max_examples=100, deadline=None)
@given(sound(), st.integers(0, 5))
def test_a_sound_plan_is_carried_out_as_a_whole(tasks, pick):
    """Where nobody fails every task is done once, and the synthesis is told of each in the order of the plan."""
    fate = Fate([tasks], on_failure="fail", retries=0)
    fate.answer(0)
    while any(one in WORKERS for one in _asked(fate)):
        fate.answer(pick)

    assert sorted(fate.work.doing()) == sorted(one["id"] for one in tasks)
    told = fate.work.given()[-1][1]["results"]
    assert [one["id"] for one in told] == [one["id"] for one in tasks]
    fate.finish()
    assert [one.status for one in fate.work.world.outcomes] == ["completed"]


def _asked(fate: Fate) -> list[str]:
    return [one.agent for one in fate.state.open.values()]
