"""What must hold for any workflow and any fate of its tasks: random graphs, failures, silences, doubles, restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.envelope import TASK_ESCALATED, TASK_FAILED, TASK_STATUS, Envelope
from signalbox.contracts.ids import reply_id
from signalbox.routing.state import Conversation
from tests.support.fleets import reply
from tests.support.workflow_world import Work, rules_with, step, workflow

SECONDS = 30
SOMETIMES = st.integers(0, 3).map(lambda number: number == 0)


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to seven steps, each needing some of those before it."""
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 7))):
        earlier = [one["id"] for one in steps]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        more: dict[str, Any] = {"input": {"step": f"s{number}"}, "timeout_seconds": SECONDS}
        if draw(SOMETIMES):
            more["retries"] = draw(st.integers(1, 2))
        if draw(SOMETIMES):
            more["on_failure"] = "skip"
        if draw(SOMETIMES):
            more["when"] = draw(st.sampled_from(["data.n > 0", "data.n > 1"]))
        if draw(SOMETIMES):
            default = draw(st.sampled_from(["approve", "reject"]))
            more["approve"] = {"reason": "may it?", "deadline_seconds": 100, "default": default}
        if draw(SOMETIMES):
            more["validate_by"] = {"agent": "judge", "rounds": 2}
        if needs and draw(SOMETIMES):
            more["needs_at_least"] = draw(st.integers(1, len(needs)))
            more["stragglers"] = draw(st.sampled_from(["close", "keep"]))
        steps.append(step(f"s{number}", *needs, undo=draw(st.booleans()), **more))
    return steps


PICK = st.integers(0, 9)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), PICK),
        st.tuples(st.just("answer"), PICK),
        st.tuples(st.just("answer"), PICK),
        st.tuples(st.just("fail"), PICK),
        st.tuples(st.just("again"), PICK),
        st.tuples(st.just("escalate"), PICK),
        st.tuples(st.just("status"), PICK),
        st.tuples(st.just("refuse"), PICK),
        st.tuples(st.just("time"), st.sampled_from([1, SECONDS + 1, 101])),
        st.tuples(st.just("person"), st.sampled_from(["approve", "reject"])),
        st.tuples(st.just("restart")),
        st.tuples(st.just("cancel"), PICK),
    ),
    max_size=40,
)


class Fate:
    """Plays actions against one run, and notes in which order steps were done and undone, as their agents see it."""

    def __init__(self, steps: list[dict[str, Any]], on_failure: str) -> None:
        definition = workflow(*steps, on_failure=on_failure, timeout_seconds=1000)
        self.work = Work(book=rules_with(definition, policy={"budgets": {"hops": 1000}}))
        self.done: list[str] = []
        self.undone: list[str] = []
        self.work.start()

    def play(self, action: tuple[Any, ...]) -> None:
        name, *arguments = action
        getattr(self, name)(*arguments)

    def answer(self, pick: int) -> None:
        task = self._open(pick)
        if task is None:
            return
        if "step" in task.data:
            self.done = [*(one for one in self.done if one != task.data["step"]), task.data["step"]]
        elif "undo" in task.data:
            self.undone.append(task.data["undo"])
        self._send(task, {"accepted": True})

    def refuse(self, pick: int) -> None:
        task = self._open(pick)
        if task is not None and task.target == "judge":
            self._send(task, {"accepted": False, "comment": "no"})

    def fail(self, pick: int) -> None:
        task = self._open(pick)
        if task is not None:
            self._send(task, {"detail": "no"}, kind=TASK_FAILED)

    def escalate(self, pick: int) -> None:
        task = self._open(pick)
        if task is not None:
            self._send(task, {"reason": "hm", "data": task.data}, kind=TASK_ESCALATED)

    def status(self, pick: int) -> None:
        task = self._open(pick)
        if task is not None:
            self._send(task, {}, kind=TASK_STATUS, id=f"status-{len(self.work.world.blobs)}-{pick}")

    def again(self, pick: int) -> None:
        """An answer that comes twice, or after its task was closed."""
        tasks = [one.task for one in self.work.world.dispatches]
        if tasks and tasks[pick % len(tasks)].id not in self.state.open:
            self._send(tasks[pick % len(tasks)], {"accepted": True})

    def time(self, seconds: float) -> None:
        self.work.world.pass_time(seconds)

    def person(self, decision: str) -> None:
        if self.work.world.reviews:
            self.work.decide(decision)

    def restart(self) -> None:
        self.work.world.restart()

    def cancel(self, pick: int) -> None:
        if pick < 3:  # now and then; the same one twice too
            self.work.cancel(pick, reason="changed her mind")

    def finish(self) -> None:
        """Let every open task be answered and every deadline pass."""
        for _ in range(200):
            if not self.state.is_open:
                return
            if self.state.open:
                self.answer(0)
            else:
                due_ms = self.state.next_deadline_ms()
                assert due_ms is not None
                self.time((due_ms - self.work.world.now_ms) / 1000)
        raise AssertionError("the run never ends")

    @property
    def state(self) -> Conversation:
        return self.work.world.state_of("c-1")

    def _open(self, pick: int) -> Envelope | None:
        tasks = [one.task for one in self.work.world.dispatches if one.task.id in self.state.open]
        return tasks[pick % len(tasks)] if tasks else None

    def _send(
        self, task: Envelope, data: Mapping[str, Any], *, kind: str = "", id: str = ""
    ) -> None:
        self.work.world.send(reply(task, data, kind=kind, id=id or reply_id(task.id, 0)))


@settings(max_examples=150, deadline=None)
@given(graphs(), ACTIONS, st.sampled_from(["compensate", "fail"]))
def test_workflow_any_fate_ends_in_one_outcome_with_nothing_kept(steps, actions, on_failure):
    """Whatever fails, is silent, comes twice or is lost: the run ends, once, and no payload stays behind."""
    fate = Fate(steps, on_failure)
    for action in actions:
        fate.play(action)
    fate.finish()
    world = fate.work.world

    assert len(world.outcomes) == 1
    assert world.results == {}
    assert world.pending == {}
    tasks = [one.task.id for one in world.dispatches]
    assert len(tasks) == len(set(tasks))
    slots = [(one.message_id, one.slot) for one in world.decisions]
    assert len(slots) == len(set(slots))


@settings(max_examples=150, deadline=None)
@given(graphs(), ACTIONS)
def test_workflow_steps_follow_their_needs_and_are_never_done_beside_themselves(steps, actions):
    """A step is given out only after all it needs rest, or as many as it gathers are done; never beside itself or once done."""
    fate = Fate(steps, "compensate")
    needs = {one["id"]: one["needs"] for one in steps}
    at_least = {one["id"]: one.get("needs_at_least") for one in steps}
    seen = 0
    settled: set[str] = set()
    for action in [("time", 0), *actions]:
        before = fate.state
        fate.play(action)
        run = before.workflow
        held = set() if run is None else {one for one, s in run.steps.items() if s.status == "done"}
        for dispatch in fate.work.world.dispatches[seen:]:
            done = dispatch.task.data.get("step")
            if done is not None:
                assert done not in held
                now = fate.state.workflow
                if now is None:
                    continue
                is_met = [
                    now.step(one).status in ({"done"} if at_least[done] else {"done", "skipped"})
                    or one in settled
                    for one in needs[done]
                ]
                assert sum(is_met) >= (at_least[done] or len(is_met))
        seen = len(fate.work.world.dispatches)
        settled |= held
        targets = Counter(
            one.task.data["step"]
            for one in fate.work.world.dispatches
            if one.task.id in fate.state.open and "step" in one.task.data
        )
        assert all(count == 1 for count in targets.values())


@settings(max_examples=150, deadline=None)
@given(graphs(), ACTIONS)
def test_workflow_undoes_what_was_done_in_reverse_each_exactly_once(steps, actions):
    """Compensations of completed steps succeed once each, the last completed first; a `compensated` run left none out."""
    fate = Fate(steps, "compensate")
    for action in actions:
        fate.play(action)
    fate.finish()
    (outcome,) = fate.work.world.outcomes

    assert len(fate.undone) == len(set(fate.undone))
    can_be_undone = [one["id"] for one in steps if one["compensate"] != "none"]
    completed = _completed(fate)
    both = [one for one in fate.undone if one in completed]
    assert both == sorted(both, key=completed.index, reverse=True)
    if outcome.status in {"compensated", "cancelled"}:
        assert {one for one in completed if one in can_be_undone} <= set(fate.undone)
    if outcome.status == "completed":
        assert not fate.undone


def _completed(fate: Fate) -> list[str]:
    """Steps that no judge looks at, in the order in which their accepted answers came."""
    judged = {
        one.spec.id
        for one in fate.work.world.rulebook.current.workflows["work"].steps.values()
        if one.spec.validate_by is not None
    }
    return [one for one in fate.done if one not in judged]
