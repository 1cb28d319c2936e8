"""A task's life in the reducer: acknowledged or given to somebody else, extended by status, closed once; agents that fall silent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import TASK_ESCALATED, TASK_FAILED, TASK_STATUS, Envelope
from signalbox.contracts.ids import dispatch_id
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.simulation import Simulation
from signalbox.routing.state import STATE_VERSION, Conversation
from tests.support.fleets import agent, message, reply, rulebook
from tests.support.workflow_world import Work, rules_with, step, workflow

ACK = {"limits": {"acknowledge_seconds": 10}}
REROUTE = {"on_silence": "reroute"}
FAIL = {"on_silence": "fail"}
BUDGETS = {"budgets": {"hops": 6, "seconds": 600, "task_seconds": 60}}
POLICY = {**BUDGETS, "policy": "contract_first"}


def world_of(*agents: AgentDefinition, **policy: Any) -> Simulation:
    return Simulation(rulebook(*agents, policy={**POLICY, **policy}))


def choose(world: Simulation, name: str) -> None:
    text = f'{{"agent": "{name}", "reason": "fits", "confidence": 0.9}}'
    world.answer("c-1", ChatAnswer(text=text, model="fake"))


def agents_of(world: Simulation) -> list[str]:
    return [one.agent for one in world.dispatches]


def status(task: Envelope, number: int = 1000, **data: Any) -> Envelope:
    return reply(task, data, kind=TASK_STATUS, id=f"status-{task.id[-8:]}-{number}")


def pair(first: dict[str, Any], second: dict[str, Any] | None = None) -> Simulation:
    """Two agents that both accept `x`; a model chose the first."""
    world = world_of(agent("first", ["x"], **first), agent("second", ["x"], **(second or {})))
    world.send(message("m-1", {"x": 1}))
    choose(world, "first")
    return world


class TestAcknowledged:
    def test_a_task_that_nobody_takes_up_is_decided_again_without_its_agent(self) -> None:
        """Closed, then given to who else accepts it, under a slot of its own; the record says who was left out and why."""
        world = pair(ACK)
        world.pass_time(10)

        assert agents_of(world) == ["first", "second"]
        assert world.dispatches[1].task.id == dispatch_id("m-1", "route:2")
        assert world.dispatches[1].task.data == {"x": 1}
        decision = world.decisions[-1]
        assert (decision.slot, decision.agent, decision.path) == ("route:2", "second", "contract")
        left_out = {one.agent: one.violations for one in decision.candidates if not one.accepted}
        assert left_out == {"first": ("first did not acknowledge it in time",)}
        assert world.state_of("c-1").hops == 2

    def test_the_late_answer_of_who_lost_it_is_a_dead_letter_and_never_history(self) -> None:
        """Its task is closed: reply, status, failure, escalation and acknowledgement alike are `late`."""
        world = pair(ACK)
        lost = world.dispatches[0].task
        world.pass_time(10)
        before = world.state_of("c-1")
        for number, kind in enumerate(("", TASK_STATUS, TASK_FAILED, TASK_ESCALATED)):
            world.send(reply(lost, {"n": number}, kind=kind, id=f"late-{number}"))

        assert [one.reason for one in world.dead_letters] == ["late"] * 4
        assert world.state_of("c-1") == before

    @pytest.mark.parametrize("kind", [TASK_STATUS, "first.done", TASK_FAILED])
    def test_whatever_the_agent_says_of_its_task_acknowledges_it(self, kind: str) -> None:
        """Who answers has taken it up; nothing is kept afterwards."""
        world = pair(ACK)
        task = world.dispatches[0].task
        assert len(world.results) == 1
        world.send(reply(task, {"state": "assigned"}, kind=kind, id="said-1"))
        world.pass_time(11)

        assert agents_of(world) == ["first"]
        assert world.results == {}
        assert world.state_of("c-1").kept == {}

    def test_where_nobody_else_accepts_it_the_task_waits_and_the_record_says_so(self) -> None:
        """Its topic still holds the task: closing it would only lose the work; the silence of an agent ends it as before."""
        world = world_of(agent("only", ["x"], **ACK))
        world.send(message("m-1", {"x": 1}))
        world.pass_time(10)

        assert agents_of(world) == ["only"]
        decision = world.decisions[-1]
        assert (decision.slot, decision.agent) == ("wait:only", NONE)
        assert "nobody else accepts" in decision.reason
        world.send(reply(world.dispatches[0].task, {"done": 1}))
        assert [one.status for one in world.outcomes] == ["none"]
        assert world.dead_letters == []
        assert world.results == {}

    def test_three_agents_are_tried_one_after_the_other_and_each_costs_a_hop(self) -> None:
        """Who did not take it up is not asked again in this episode."""
        world = world_of(*(agent(name, ["x"], **ACK) for name in ("a", "b", "c")))
        world.send(message("m-1", {"x": 1}))
        choose(world, "a")
        world.pass_time(10)
        choose(world, "b")
        world.pass_time(10)

        assert agents_of(world) == ["a", "b", "c"]
        assert [one.slot for one in world.decisions] == ["route", "route:2", "route:3"]
        assert world.state_of("c-1").hops == 3
        assert len(world.results) == 1

    def test_while_another_message_is_decided_it_waits_for_its_turn(self) -> None:
        """A conversation decides one message at a time; the one that was taken back is no exception."""
        world = pair(ACK)
        world.send(message("m-2", {"x": 2}))
        world.pass_time(10)
        assert agents_of(world) == ["first"]
        choose(world, "second")

        assert [(one.agent, one.task.data["x"]) for one in world.dispatches] == [
            ("first", 1),
            ("second", 2),
            ("second", 1),
        ]

    def test_it_survives_a_restart_with_what_it_was_made_of(self) -> None:
        """State alone knows what to decide again."""
        world = pair(ACK)
        world.restart()
        world.pass_time(10)

        assert agents_of(world) == ["first", "second"]

    def test_the_allowlist_of_the_sender_holds_for_who_gets_it_instead(self) -> None:
        """An answer that is decided again goes where its sender may hand off to, and nowhere else."""
        world = world_of(
            agent("opener", ["o"], handoffs=["first"]),
            agent("first", ["x"], **ACK),
            agent("second", ["x"]),
        )
        world.send(message("m-1", {"o": 1}))
        world.send(reply(world.dispatches[0].task, {"x": 1}))
        world.pass_time(10)

        assert agents_of(world) == ["opener", "first"]
        assert world.decisions[-1].slot == "wait:first"

    def test_an_outage_moves_what_must_be_acknowledged_like_every_deadline(self) -> None:
        """Time in which nobody could work is not spent."""
        world = pair(ACK)
        state = world.state_of("c-1").postponed(60_000)
        (kept,) = state.kept.values()

        assert kept.due_ms == world.now_ms + 70_000
        assert state.next_deadline_ms() == kept.due_ms

    def test_a_step_that_nobody_takes_up_is_a_failed_attempt(self) -> None:
        """`retries` cover it; the record of the second attempt says what went wrong before; then the step has failed."""
        staff = (agent("ann", [], closed=False, **ACK),)
        work = Work(
            book=rules_with(workflow(step("a", retries=1), on_failure="fail"), agents=staff)
        )
        work.start()
        work.world.pass_time(10)
        assert work.slots() == ["step:a", "step:a:2"]
        assert "did not acknowledge it in time" in work.world.decisions[-1].reason
        work.world.pass_time(10)

        assert [one.status for one in work.world.outcomes] == ["failed"]
        assert work.world.counts.count("signalbox.stuck_steps") == 2
        work.answer(number=0, id="late-1")
        assert [one.reason for one in work.world.dead_letters] == ["late"]

    def test_a_step_that_was_taken_up_has_its_own_time(self) -> None:
        """Acknowledged, only its timeout counts."""
        staff = (agent("ann", [], closed=False, **ACK),)
        work = Work(book=rules_with(workflow(step("a", timeout_seconds=50)), agents=staff))
        work.start()
        work.world.send(status(work.task(), state="assigned"))
        work.world.pass_time(40)
        work.answer()

        assert [one.status for one in work.world.outcomes] == ["completed"]


class TestWithoutAsking:
    def test_agents_that_do_not_ask_cost_not_a_byte_and_not_a_command(self) -> None:
        """The blob and the commands of a conversation are what they were: nothing is kept of its tasks."""
        world = world_of(agent("only", ["x"]))
        world.send(message("m-1", {"x": 1}))
        blob = world.blobs["c-1"]

        assert world.results == {}
        assert b"kept" not in blob
        assert b"detours" not in blob

    def test_a_blob_of_the_version_before_is_read(self) -> None:
        """Savepoints of earlier versions have neither field."""
        world = pair({})
        state = world.state_of("c-1")
        older = state.encode().replace(b'{"v":%d' % STATE_VERSION, b'{"v":3', 1)

        assert older != state.encode()
        assert Conversation.decode(older) == state


class TestStatus:
    def test_a_status_extends_the_deadline_of_a_routed_task(self) -> None:
        """A sign of life begins the silence anew."""
        world = pair({})
        world.pass_time(50)
        world.send(status(world.dispatches[0].task, status="half", percent=50))
        world.pass_time(50)
        assert world.outcomes == []
        world.pass_time(11)

        assert [one.status for one in world.outcomes] == ["expired"]

    def test_a_status_extends_a_steps_own_deadline_and_never_the_runs(self) -> None:
        """The step's timeout counts from the last sign of life; the workflow's own time does not move."""
        work = Work(step("a", timeout_seconds=20), timeout_seconds=50, on_failure="fail")
        work.start()
        for number in range(3):
            work.world.pass_time(15)
            work.world.send(status(work.task(), number))
        assert work.world.outcomes == []
        work.world.pass_time(6)

        assert [one.status for one in work.world.outcomes] == ["expired"]


class TestSilence:
    def test_open_tasks_of_a_failed_agent_are_decided_again(self) -> None:
        """`reroute`: the task is closed and given to who else accepts it; an answer that comes after is `late`."""
        world = pair(REROUTE)
        world.send(status(world.dispatches[0].task, status="working"))
        world.notice_failure("first")

        assert agents_of(world) == ["first", "second"]
        assert world.decisions[-1].slot == "route:2"
        world.send(reply(world.dispatches[0].task, {"y": 1}))
        assert [one.reason for one in world.dead_letters] == ["late"]

    def test_a_failed_agent_is_not_chosen_while_others_accept_and_is_again_once_recovered(
        self,
    ) -> None:
        """The record of such a decision names it with since when; afterwards the model may choose it again."""
        world = world_of(agent("first", ["x"], **REROUTE), agent("second", ["x"]))
        world.notice_failure("first")
        world.send(message("m-1", {"x": 1}))
        assert agents_of(world) == ["second"]
        (out,) = [one for one in world.decisions[-1].candidates if not one.accepted]
        assert out.agent == "first"
        assert "no heartbeat since 20" in out.violations[0]
        assert world.decisions[-1].slot == "route"
        assert world.state_of("c-1").detours == {}

        world.notice_recovery("first")
        world.send(message("m-2", {"x": 2}, conversation="c-2"))
        assert "c-2" in world.questions

    def test_where_only_failed_agents_accept_one_of_them_gets_the_task(self) -> None:
        """Its topic keeps the task until it is back: better than nobody."""
        world = world_of(agent("first", ["x"], **REROUTE))
        world.notice_failure("first")
        world.send(message("m-1", {"x": 1}))

        assert agents_of(world) == ["first"]

    def test_a_model_that_chooses_who_failed_meanwhile_is_not_followed(self) -> None:
        """The question was open when the agent failed: the message is decided anew without it."""
        world = world_of(agent("first", ["x"], **REROUTE), agent("second", ["x"]))
        world.send(message("m-1", {"x": 1}))
        world.notice_failure("first")
        choose(world, "first")

        assert agents_of(world) == ["second"]

    def test_a_model_asked_without_the_failed_one_is_understood_so_after_it_recovered(self) -> None:
        """The candidates of a question are those it was asked with, whatever happened since."""
        world = world_of(
            agent("first", ["x"], **REROUTE), agent("second", ["x"]), agent("third", ["x"])
        )
        world.notice_failure("first")
        world.send(message("m-1", {"x": 1}))
        digest = world.questions["c-1"].request
        world.notice_recovery("first")
        world.restart()
        assert world.questions["c-1"].request == digest
        choose(world, "third")

        assert agents_of(world) == ["third"]
        assert world.state_of("c-1").detours == {}

    def test_all_candidates_failed_and_the_model_is_believed(self) -> None:
        """Where nobody can be reached there is nothing to leave out, and no circle of questions."""
        world = world_of(agent("first", ["x"], **REROUTE), agent("second", ["x"], **REROUTE))
        world.notice_failure("first")
        world.notice_failure("second")
        world.send(message("m-1", {"x": 1}))
        choose(world, "first")

        assert agents_of(world) == ["first"]

    def test_by_default_tasks_wait_and_nothing_changes(self) -> None:
        """`wait`: neither open tasks nor new decisions look at heartbeats."""
        world = pair({})
        world.notice_failure("first")
        before = world.blobs["c-1"]
        world.send(message("m-2", {"x": 1}, conversation="c-2"))

        assert agents_of(world) == ["first"]
        assert world.blobs["c-1"] == before
        assert "c-2" in world.questions

    def test_fail_ends_the_branch_with_the_reason(self) -> None:
        """`fail`: nobody waits for an agent that is gone."""
        world = pair(FAIL)
        world.notice_failure("first")

        (outcome,) = world.outcomes
        assert (outcome.status, outcome.detail) == (
            "failed",
            "first failed: its heartbeats stopped",
        )
        assert world.results == {}

    def test_the_policy_of_the_fleet_holds_where_the_agent_says_nothing(self) -> None:
        """`on_silence` in fleet.yaml; the agent's own word is stronger."""
        world = world_of(
            agent("first", ["x"]), agent("second", ["y"], on_silence="wait"), on_silence="fail"
        )
        world.send(message("m-1", {"x": 1}))
        world.send(message("m-2", {"y": 1}, conversation="c-2"))
        world.notice_failure("first")
        world.notice_failure("second")

        assert [one.conversation_id for one in world.outcomes] == ["c-1"]

    def test_a_steps_agent_that_fails_is_a_failed_attempt_and_with_fail_the_end_of_the_step(
        self,
    ) -> None:
        """`reroute` spends one of the step's retries, `fail` none."""
        for more, slots in ((REROUTE, ["step:a", "step:a:2"]), (FAIL, ["step:a"])):
            staff = (agent("ann", [], closed=False, **more),)
            book = rules_with(workflow(step("a", retries=1), on_failure="fail"), agents=staff)
            work = Work(book=book)
            work.start()
            work.world.notice_failure("ann")

            assert work.slots() == slots
            assert bool(work.world.outcomes) == (more is FAIL)

    def test_a_subscribers_task_waits_or_fails_and_a_listeners_changes_nothing(self) -> None:
        """Nobody else can have it: with `reroute` it waits, with `fail` it ends; who only listens decides no outcome."""
        heard = {"role": "subscriber", "filters": [{"event_type": "lead.*"}]}
        ear = {**heard, "role": "listener"}
        for role, more, outcomes in (
            (heard, REROUTE, []),
            (heard, FAIL, ["failed"]),
            (ear, FAIL, ["none"]),
        ):
            world = world_of(agent("ear", ["x"], subscribe=role, **more))
            world.send(message("m-1", {"x": 1}))
            world.notice_failure("ear")

            assert [one.status for one in world.outcomes] == outcomes

    def test_noticing_it_twice_changes_nothing_more(self) -> None:
        """A scan that begins again after a restart finds nothing to do."""
        world = pair(REROUTE)
        world.notice_failure("first")
        before = world.blobs["c-1"]
        world.notice_failure("first")

        assert world.blobs["c-1"] == before

    def test_a_failure_that_is_over_when_a_conversation_learns_of_it_changes_nothing(self) -> None:
        """The scan goes by what holds now."""
        from signalbox.routing.reduce import reduce
        from signalbox.routing.ticks import AgentFailed

        world = pair(REROUTE)
        state = world.state_of("c-1")

        assert reduce(state, AgentFailed("first"), world.now_ms, world.rulebook) == (state, ())


_EVENTS = st.lists(
    st.sampled_from(
        ["send", "time", "fail a", "fail b", "recover a", "recover b", "answer", "status", "model"]
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(_EVENTS, st.sampled_from(["wait", "reroute", "fail"]), st.booleans())
def test_whatever_happens_every_conversation_ends_and_nothing_is_left_behind(
    events: list[str], policy: str, asks: bool
) -> None:
    """Silence, acknowledgements, recoveries and answers in any order: bounded tasks, one outcome, empty state."""
    more = {"on_silence": policy, **(ACK if asks else {})}
    world = world_of(*(agent(name, ["x"], **more) for name in ("a", "b")))
    sent = 0
    for event in events:
        match event.split():
            case ["send"]:
                sent += 1
                world.send(message(f"m-{sent}", {"x": sent}))
            case ["time"]:
                world.pass_time(6)
            case ["fail", name]:
                world.notice_failure(name)
            case ["recover", name]:
                world.notice_recovery(name)
            case ["answer"] if world.dispatches:
                world.send(reply(world.dispatches[-1].task, {"y": 1}))
            case ["status"] if world.dispatches:
                world.send(status(world.dispatches[-1].task, len(world.dead_letters)))
            case ["model"] if "c-1" in world.questions:
                choose(world, "a")
    for _ in range(40):
        if "c-1" in world.questions:
            choose(world, "b" if "b" in world.questions["c-1"].request.choices else "a")
        world.pass_time(61)

    state = world.state_of("c-1")
    assert not state.is_open
    assert (state.kept, state.detours, world.results, world.pending) == ({}, {}, {}, {})
    assert len(world.outcomes) >= min(sent, 1)
    ids = [one.task.id for one in world.dispatches]
    assert len(ids) == len(set(ids))
