"""`trace` of a conversation with a workflow: the run folded from records alone, drawn, and written for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from signalbox.cli.facts import Fact, facts_of
from signalbox.cli.main import app
from signalbox.cli.moments import until
from signalbox.cli.run_bar import bar, legend
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_json import run_json
from signalbox.cli.run_seen import RunSeen
from signalbox.cli.run_shape import shape_of
from signalbox.cli.run_slots import slot_of
from signalbox.cli.run_view import run_lines
from signalbox.cli.trace import lines_of, runs_json
from signalbox.cli.trace_view import timeline, trace_of
from signalbox.contracts.decision import Decision
from signalbox.contracts.ids import approval_token
from signalbox.definitions.workflow import WorkflowDefinition
from tests.support.fleets import message
from tests.support.live_story import live
from tests.support.story import T0, Story
from tests.support.workflow_world import rules_with, step, workflow

SAGA = workflow(
    step("reserve", undo=True, retries=1),
    step("charge", "reserve", by="bob", undo=True),
    step("ship", "charge", by="cyd", retries=1),
)
DIAMOND = workflow(
    step("look"),
    step("price", "look", by="bob", retries=1),
    step("gift", "look", by="cyd", when="data.n > 5"),
    step(
        "agree",
        "price",
        "gift",
        undo=True,
        approve={"reason": "Pay {{ data.n }}?", "deadline_seconds": 7200},
        validate_by={"agent": "judge"},
    ),
    step("ship", "agree", by="cyd", timeout_seconds=60, undo=True),
    step("tell", "ship", by="bob"),
)


def begun(definition: WorkflowDefinition, n: int = 3) -> Story:
    told = Story(rules_with(definition))
    asked = message("m-1", {"n": n}, conversation="c", type="work.asked")
    told.arrives(asked, at=0, decided_at=4)
    return told


def saga() -> Story:
    """Shipping fails twice, the refund once."""
    told = begun(SAGA)
    told.answers("ann", {"ok": 1}, at=1205, processingms=900)
    told.answers("bob", {"ok": 1}, at=2010, processingms=700)
    told.fails("cyd", "no van today", at=2510)
    told.fails("cyd", "no van today", at=3510)
    told.fails("undo", "bank closed", at=3900)
    told.time_passes("c", at=6000)
    told.answers("undo", {"ok": 1}, at=6900, processingms=850)
    told.answers("undo", {"ok": 1}, at=7500, processingms=500)
    return told


def diamond(acts: int) -> Story:
    """The first `acts` of: price fails and is tried again, a person agrees, a judge refuses once, a cancel, silence, undoing."""
    told = begun(DIAMOND)

    def agreed() -> None:
        (review,) = (json.loads(r.value or b"") for r in told.records("agent_review"))
        data = {"token": review["token"], "decision": "approve", "resolved_by": "ada"}
        said = message(
            "d-1", {**data, "comment": "go on"}, conversation="c", type="review.resolved"
        )
        told.arrives(said, at=9000, decided_at=9004)

    def cancelled() -> None:
        data = {"cancelled_by": "eve", "reason": "changed her mind"}
        said = message("x-1", data, conversation="c", type="workflow.cancel")
        told.arrives(said, at=14_000, decided_at=14_003)

    story: list[Callable[[], None]] = [
        lambda: told.answers("ann", {"ok": 1}, at=300, processingms=200),
        lambda: told.fails("bob", "busy", at=700),
        lambda: told.answers("bob", {"ok": 1}, at=1500, processingms=400),
        agreed,
        lambda: told.answers("ann", {"ok": 1}, at=10_000, processingms=800),
        lambda: told.answers("judge", {"accepted": False, "comment": "too dear"}, at=10_300),
        lambda: told.answers("ann", {"ok": 2}, at=11_000, processingms=600),
        lambda: told.answers("judge", {"accepted": True}, at=11_200),
        cancelled,
        lambda: told.time_passes("c", at=75_000),
        lambda: told.answers("undo", {"ok": 1}, at=75_500),
        lambda: told.answers("undo", {"ok": 1}, at=76_000),
    ]
    for act in story[:acts]:
        act()
    return told


def facts(told: Story) -> tuple[Fact, ...]:
    return facts_of(told.records(), "")


def run_of(told: Story) -> RunSeen:
    (found,) = runs_of("c", facts(told))
    return found


def drawn(
    told: Story, definition: WorkflowDefinition | None, *, now: int, width: int = 80
) -> list[str]:
    found = run_of(told)
    shape = shape_of(found, definition)
    lines = run_lines(found, shape, start_ms=T0, now_ms=T0 + now, width=width)
    return [line.text for line in lines]


def statuses(told: Story) -> dict[str, str]:
    found = run_of(told)
    return {name: found.status_of(one) for name, one in found.steps.items()}


def test_drawing_of_a_saga_shows_what_was_done_what_failed_and_what_was_undone() -> None:
    """Steps as a tree with start, duration and time at work; attempts and causes below; compensations in the order they ran."""
    assert drawn(saga(), SAGA, now=8000) == [
        "workflow work: compensated after 7.50 s, started by m-1",
        "  step            agent    start    took  at work",
        "  ↩ reserve       ann      +4 ms  1.20 s   900 ms  done, undone",
        "  ↩ └─► charge    bob    +1.21 s  800 ms   700 ms  done, undone",
        "  ✗     └─► ship  cyd    +2.02 s  1.50 s           failed",
        "                  attempt 1: failed after 495 ms: no van today",
        "                  cyd: no van today, at attempt 2 of 2",
        "  undone, one after the other",
        "  ↩ charge        undo   +3.52 s  3.38 s   850 ms  undone",
        "                  attempt 1: failed after 385 ms: bank closed",
        "  ↩ reserve       undo   +6.91 s  595 ms   500 ms  undone",
    ]


def test_drawing_has_bars_where_the_terminal_is_wide_enough() -> None:
    """One scale for all: when each waited in its queue and was worked on, beside the same columns."""
    assert drawn(saga(), SAGA, now=8000, width=110)[1:5] == [
        "  step            agent    start    took  at work                █ work ░ queue",
        "  ↩ reserve       ann      +4 ms  1.20 s   900 ms  done, undone  ░███████",
        "  ↩ └─► charge    bob    +1.21 s  800 ms   700 ms  done, undone         ██████",
        "  ✗     └─► ship  cyd    +2.02 s  1.50 s           failed                    ██████████",
    ]


def test_drawing_of_an_open_run_says_what_is_waited_for_and_until_when() -> None:
    """A person's deadline, its default and the token; the tree goes on beside what stands below a step."""
    assert drawn(diamond(3), DIAMOND, now=5000) == [
        "workflow work: running since 5.00 s, started by m-1",
        "  step                    agent    start    took  at work",
        "  ✓ look                  ann      +4 ms  296 ms   200 ms  done",
        "  ✓ ├─► price             bob    +305 ms  1.20 s   400 ms  done",
        "    │                     attempt 1: failed after 395 ms: busy",
        "  – └─► gift              cyd                              skipped",
        "        │                 data.n > 5 does not hold",
        "  ?     └─► agree         ann    +1.50 s                   waits for a person",
        "            │             also after price",
        "            │             Pay 3? due in 1 h 59 min, else reject",
        f"            │             {approval_token('m-1', 'approve:agree')}",
        "  ·         └─► ship      cyd                              waits",
        "  ·             └─► tell  bob                              waits",
    ]


def test_drawing_of_a_running_step_says_when_its_agent_is_to_answer() -> None:
    """By its task's deadline; past it the step is stuck, which is to be seen."""
    in_time, late = drawn(diamond(8), DIAMOND, now=12_000), drawn(diamond(8), DIAMOND, now=80_000)

    assert in_time[-2].split() == ["│", "cyd", "is", "to", "answer", "in", "59", "s"]
    assert "stuck: cyd was to answer 8 s ago" in late[-2]
    assert (in_time[-3].split()[0], in_time[-3].split()[-1]) == ("▶", "running")
    assert (late[-3].split()[0], late[-3].split()[-1]) == ("!", "stuck")
    assert (", stuck at ship," in late[0], "stuck" in in_time[0]) == (True, False)


def test_run_json_names_the_steps_that_are_stuck() -> None:
    """Whoever is to do, to judge or to undo a step and is past the deadline; nobody once the run went on or is over."""
    doing = begun(workflow(step("a", timeout_seconds=10), step("b", by="bob", timeout_seconds=99)))
    judging = begun(workflow(step("a", timeout_seconds=10, validate_by={"agent": "judge"})))
    judging.answers("ann", {"ok": 1}, at=100)
    undoing = begun(workflow(step("a", undo=True, timeout_seconds=10), step("b", "a", by="bob")))
    undoing.answers("ann", {"ok": 1}, at=100)
    undoing.fails("bob", "no", at=200)

    for told in (doing, judging, undoing):
        (run,) = runs_of("c", facts(told))
        written = [run_json(run, shape_of(run, None), now_ms=T0 + at) for at in (9000, 11_000)]
        assert [one["stuck"] for one in written] == [[], ["a"]]
        for at in (11_000, 14_000):
            told.time_passes("c", at=at)
        assert run_json(run_of(told), shape_of(run, None), now_ms=T0 + 14_000)["stuck"] == []


def test_drawing_shows_who_agreed_and_what_the_judge_said() -> None:
    """A person's word with the time it took, each judgement with its comment; what a person took is part of the step's time."""
    text = "\n".join(drawn(diamond(8), DIAMOND, now=12_000, width=120))

    assert "ada approved step agree: go on, after 7.50 s" in text
    assert "judge refuses after 295 ms: too dear" in text
    assert "judge accepts after 195 ms" in text
    assert "█ work ░ queue ▒ person ▓ judge" in text
    assert "+1.50 s  9.70 s   1.40 s  done" in text


def test_drawing_of_a_cancelled_run_says_who_and_when() -> None:
    """While it comes to rest and when it is over: the cancel, the silent step that was undone, the one that never began."""
    resting, over = drawn(diamond(9), DIAMOND, now=20_000), drawn(diamond(12), DIAMOND, now=90_000)

    assert resting[0] == "workflow work: coming to rest since 20.00 s, started by m-1"
    assert over[0] == "workflow work: cancelled after 1 min 16 s, started by m-1"
    for told in (resting, over):
        assert told[1] == "  after 14.00 s cancelled by eve: changed her mind"
        assert told[-1 if told is resting else -4].split()[-2:] == ["not", "begun"]
    assert [line.split()[1] for line in over[-2:]] == ["ship", "agree"]
    assert any("no answer, undone" in line for line in over)


def test_drawing_without_a_definition_is_in_the_order_in_which_steps_began() -> None:
    """The records are enough for all but the order of needs, and it says so."""
    told = drawn(diamond(12), None, now=90_000)

    assert "definition is not known any more" in told[2]
    rows = [line.split()[1] for line in told if line[2:3] in "✓✗–↩▶?·"]
    assert rows == ["look", "gift", "price", "agree", "ship", "ship", "agree"]


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 200])
def test_drawing_fits_the_terminal(width: int) -> None:
    """No line of it is wider than the terminal, apart from the headline, whose ids are not cut."""
    for acts in (3, 8, 12):
        for line in drawn(diamond(acts), DIAMOND, now=90_000, width=width)[2:]:
            assert len(line) <= width, line


def test_run_that_is_through_has_every_step_done() -> None:
    """The status is the outcome's, and each step took from its task to its answer."""
    told = begun(SAGA)
    for agent, at in (("ann", 500), ("bob", 900), ("cyd", 1500)):
        told.answers(agent, {"ok": 1}, at=at)
    found = run_of(told)

    assert (found.status, found.name) == ("completed", "work")
    assert {name: one.status for name, one in found.steps.items()} == dict.fromkeys(
        ("reserve", "charge", "ship"), "done"
    )


def test_run_with_a_failure_that_is_skipped_goes_on_past_it() -> None:
    """The same record stands for a step that fails the run: what was given out afterwards tells them apart."""
    told = begun(workflow(step("a", on_failure="skip"), step("b", "a", by="bob")))
    told.fails("ann", "no", at=100)
    found = run_of(told)

    assert statuses(told) == {"a": "skipped", "b": "running"}
    assert found.status == "running"
    assert "failed, skipped" in drawn(told, None, now=200)[3]


def test_run_with_an_escalation_waits_for_a_person_and_gives_the_step_once_more() -> None:
    """The question is about the agent's answer, not the start; it belongs to the step all the same."""
    told = begun(workflow(step("a")))
    told.answers("ann", {"reason": "odd"}, at=100, kind="task.escalated")
    assert statuses(told) == {"a": "waiting_approval"}
    (asked,) = run_of(told).steps["a"].asked
    data = {"token": asked.token, "decision": "approve", "resolved_by": "ada"}
    told.arrives(message("d-1", data, conversation="c", type="review.resolved"), at=500)
    assert statuses(told) == {"a": "running"}
    told.answers("ann", {"ok": 1}, at=900)

    assert statuses(told) == {"a": "done"}
    assert "attempt 1: asked for a person after 96 ms: odd" in "\n".join(drawn(told, None, now=999))


def test_run_whose_approval_nobody_answered_has_it_by_default() -> None:
    """The deadline's record is like a person's."""
    ask = {"reason": "?", "deadline_seconds": 1, "default": "approve"}
    told = begun(workflow(step("a", approve=ask)))
    told.time_passes("c", at=1100)

    (asked,) = run_of(told).steps["a"].asked
    assert asked.answer == "nobody in time, so the default approved step a"
    assert statuses(told) == {"a": "running"}


def test_run_that_stopped_asks_nobody_any_more() -> None:
    """A question that was open when another step failed is over, and its step was not decided."""
    steps = (step("a", approve={"reason": "?"}), step("b", by="bob"), step("c", by="cyd"))
    told = begun(workflow(*steps))
    told.fails("bob", "no", at=100)

    assert statuses(told) == {"a": "skipped", "b": "failed", "c": "running"}
    assert run_of(told).status == "stopping"
    assert "not decided" in "\n".join(drawn(told, None, now=200))


def test_run_out_of_time_leaves_no_step_running() -> None:
    """Its tasks have no answer and no record of their own: the undoing and the outcome say that nobody waits for them."""
    told = begun(workflow(step("a", undo=True, timeout_seconds=500), timeout_seconds=10))
    told.time_passes("c", at=11_000)
    assert statuses(told) == {"a": "compensating"}
    told.answers("undo", {"ok": 1}, at=12_000)

    assert statuses(told) == {"a": "compensated"}
    assert run_of(told).steps["a"].work[0].ending == "silent"


def test_run_with_a_late_answer_does_not_count_it() -> None:
    """What is a dead letter was not taken: the attempt is silent, and the second one runs."""
    told = begun(workflow(step("a", timeout_seconds=10, retries=1)))
    task = told.tasks["ann"]
    told.time_passes("c", at=11_000)
    told.tasks["ann"], again = task, told.tasks["ann"]
    told.answers("ann", {"ok": 1}, at=12_000)
    told.tasks["ann"] = again

    assert [one.ending for one in run_of(told).steps["a"].work] == ["silent", "open"]


def test_run_with_signs_of_life_is_due_later() -> None:
    """A status moves the deadline by the step's own silence."""
    told = begun(workflow(step("a", timeout_seconds=60)))
    task = told.tasks["ann"]
    told.answers("ann", {"status": "half"}, at=30_000, kind="task.status", id="s-1")
    told.tasks["ann"] = task

    assert "ann is to answer in 50 s" in "\n".join(drawn(told, None, now=40_000))


def test_run_whose_agent_says_when_it_took_a_task_up_shows_how_long_it_was_queued() -> None:
    """Acknowledged: while it is open, and for the time at work of an answer that does not say it."""
    told = begun(workflow(step("a", timeout_seconds=60)))
    task = told.tasks["ann"]
    taken = {"state": "assigned", "attempt": 1}
    told.answers("ann", taken, at=3000, kind="task.status", id="s-1")
    told.tasks["ann"] = task
    assert "ann is to answer in 58 s, took it up 2 s ago" in "\n".join(drawn(told, None, now=5000))
    told.answers("ann", {"ok": 1}, at=9000)
    row = drawn(told, None, now=9999, width=80)[3]

    assert "9.00 s   6.00 s  done" in row
    assert row.count("█") > row.count("░") > 0


def test_run_from_records_that_came_twice_is_the_same() -> None:
    """At least once: no attempt, question or compensation is counted again."""
    once = facts(diamond(12))
    twice = tuple(one for fact in once for one in (fact, replace(fact, offset=fact.offset + 1000)))
    shape = shape_of(runs_of("c", once)[0], DIAMOND)

    assert run_json(runs_of("c", twice)[0], shape, now_ms=T0) == run_json(
        runs_of("c", once)[0], shape, now_ms=T0
    )


def test_runs_of_one_conversation_are_told_apart() -> None:
    """A second run, after the first one's outcome, has its own steps and outcome; programs get both."""
    told = begun(workflow(step("a")))
    told.answers("ann", {"ok": 1}, at=100)
    again = message("m-2", {"n": 3}, conversation="c", type="work.asked")
    told.arrives(again, at=1000, decided_at=1004)
    first, second = runs_of("c", facts(told))
    written = runs_json([(one, shape_of(one, None)) for one in (first, second)], now_ms=T0)

    assert (first.status, second.status) == ("completed", "running")
    assert written["workflow"]["started_by"] == "m-2"
    assert [one["started_by"] for one in written["earlier_workflows"]] == ["m-1"]


def test_runs_of_a_conversation_without_a_workflow_are_none() -> None:
    """Routed messages, a target and a person's choice are no run."""
    told = begun(workflow(step("a")))
    told.arrives(message("p-1", {"z": 1}, conversation="d", target="ann"), at=10)

    assert runs_of("d", facts(told)) == ()
    assert runs_json([], now_ms=T0) == {"workflow": None}


def test_run_json_is_what_programs_are_promised() -> None:
    """Name, status, steps with needs and slots, compensations in order; times are RFC 3339, durations whole ms."""
    found = run_of(saga())
    value = run_json(found, shape_of(found, SAGA), now_ms=T0)

    assert (value["name"], value["status"], value["ms"]) == ("work", "compensated", 7501)
    wanted = ("id", "agent", "status", "attempt", "ms", "needs", "slot")
    assert [tuple(one[key] for key in wanted) for one in value["steps"]] == [
        ("reserve", "ann", "compensated", 1, 1201, [], "step:reserve"),
        ("charge", "bob", "compensated", 1, 800, ["reserve"], "step:charge"),
        ("ship", "cyd", "failed", 2, 1500, ["charge"], "step:ship:2"),
    ]
    assert value["steps"][0]["started_at"] == "2026-01-01T00:00:00.004Z"
    wanted = ("step", "status", "attempt", "ms", "slot")
    assert [tuple(one[key] for key in wanted) for one in value["compensations"]] == [
        ("charge", "compensated", 2, 3385, "compensate:charge:2"),
        ("reserve", "compensated", 1, 595, "compensate:reserve"),
    ]
    json.dumps(value)


def planned(told: Story, slot: str, reason: str, at: int) -> Fact:
    """A record such as an engine that plans writes."""
    (first, *_) = [one for one in facts(told) if isinstance(one.body, Decision)]
    body = first.body.model_copy(update={"slot": slot, "agent": "NONE", "reason": reason})
    return replace(first, body=body, at_ms=T0 + at, offset=900 + at)


def test_run_with_a_plan_draws_its_tasks_below_the_planning_step() -> None:
    """A record says that the plan was accepted, the agent's answer has the tasks; what comes after the plan comes after them."""
    plan = {"agents": ["bob", "cyd"], "rounds": 1}
    definition = workflow(step("plan", plan=plan), step("sum", "plan", by="judge"))
    told = begun(definition)
    for number, who in enumerate(("nobody", "bob")):
        tasks = [
            {"id": "t1", "agent": who, "description": "x", "needs": []},
            {"id": "t2", "agent": "cyd", "description": "y", "needs": []},
            {"id": "t3", "agent": "bob", "description": "z", "needs": ["t1", "t2"]},
        ]
        told.answers("ann", {"tasks": tasks}, at=300 + 600 * number)
    told.answers("bob", {"ok": 1}, at=1400)

    assert drawn(told, definition, now=2000) == [
        "workflow work: running since 2.00 s, started by m-1",
        "  step               agent    start    took           █ work",
        "  ✓ plan             ann      +4 ms  896 ms  done     ████████████",
        "    │                the plan of ann is refused: task t1: agent is 'nobody';",
        "    │                choose one of bob, cyd",
        "    │                3 tasks: t1 bob; t2 cyd; t3 bob after t1, t2",
        "  ✓ ├─► plan_t1      bob    +905 ms  495 ms  done                ████████",
        "  ▶ └─► plan_t2      cyd    +905 ms          running             ███████████████",
        "        │            cyd is to answer in 14 min 58 s",
        "  ·     └─► plan_t3  bob                     waits",
        "            │        also after plan_t1",
        "  ·         └─► sum  judge                   waits",
    ]
    assert drawn(told, None, now=2000)[-2:] == [
        "  ·     └─► plan_t3  bob                     waits",
        "                     also after plan_t1",
    ]


@pytest.mark.parametrize(
    "tasks", [None, 7, [7], [{"id": 7}], [{"id": "a", "needs": ["a"]}], [{"id": "a", "needs": 3}]]
)
def test_run_with_a_plan_that_is_none_is_drawn_all_the_same(tasks: Any) -> None:
    """Whatever an agent answered, a trace is a trace."""
    told = begun(workflow(step("plan")))
    told.answers("ann", {"tasks": tasks}, at=100)
    (found,) = runs_of("c", (*facts(told), planned(told, "plan:plan", "a plan", 104)))

    assert list(run_lines(found, shape_of(found, None), start_ms=T0, now_ms=T0, width=80))


def test_run_with_slots_of_a_newer_engine_shows_what_they_say() -> None:
    """A kind that is not known is a note of its step, not an error."""
    told = begun(workflow(step("a")))
    seen = (*facts(told), planned(told, "wait:a:3", "workflow work: it rests", 50))
    (found,) = runs_of("c", seen)

    assert [text for _, text in found.steps["a"].notes] == ["wait:a:3: it rests"]
    assert found.steps["a"].status == "running"


@given(
    text=st.text(max_size=40) | st.from_regex(r"[a-z]+:[a-z_0-9]+(:[a-z0-9:]+)?", fullmatch=True)
)
def test_slots_of_any_form_are_taken_apart_or_left_alone(text: str) -> None:
    """Never an error; what is taken apart has the same text."""
    found = slot_of(text)

    assert found is None or (found.text == text and found.step in text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("step:pay", ("step", "pay", 1, "")),
        ("step:pay:2", ("step", "pay", 2, "")),
        ("compensate:pay:failed", ("compensate", "pay", 1, "failed")),
        ("plan:plan:refused:2", ("plan", "plan", 1, "refused:2")),
        ("step:plan_t1", ("step", "plan_t1", 1, "")),
    ],
)
def test_slots_name_kind_step_number_and_ending(text: str, parts: tuple[Any, ...]) -> None:
    """As the engine writes them."""
    found = slot_of(text)

    assert found is not None
    assert (found.kind, found.step, found.number, found.ending) == parts


@given(
    spans=st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from("█░▒▓")),
        max_size=5,
    ),
    width=st.integers(1, 60),
)
def test_bar_is_never_wider_than_its_room_and_shows_what_there_is(spans: Any, width: int) -> None:
    """Also for spans of no length, outside the time, or the wrong way round."""
    drawn_bar = bar(spans, from_ms=0, to_ms=10_000, width=width)

    assert len(drawn_bar) <= width
    assert bool(drawn_bar) == bool(spans)


def test_bar_legend_names_what_is_used_and_fits() -> None:
    """Nothing half a word."""
    assert legend([(0, 1, "▒"), (0, 1, "█")], 40) == "█ work ▒ person"
    assert legend([(0, 1, "▒"), (0, 1, "█")], 10) == "█ work"


@pytest.mark.parametrize(
    ("apart", "text"),
    [
        (40_000, "in 40 s"),
        (0, "in 0 s"),
        (-3_000, "3 s ago"),
        (7_500_000, "in 2 h 5 min"),
        (273_600_000, "in 3 d 4 h"),
    ],
)
def test_until_says_it_as_a_person_would(apart: int, text: str) -> None:
    """No hundredths, no thousand minutes."""
    assert until(apart + 1, 1) == text


def test_trace_lines_draw_the_run_and_leave_its_records_out_of_the_timeline() -> None:
    """Headline, drawing, then the messages; what was drawn is not told again, the cancel's record stands below its message."""
    seen = facts(diamond(12))
    found = trace_of("c", seen)
    assert found is not None
    runs = [(one, shape_of(one, DIAMOND)) for one in runs_of("c", seen)]
    lines = [one.text for one in lines_of(found, runs, now_ms=T0 + 90_000, width=80)]

    assert lines[0] == "c: cancelled in 1 min 16 s, 10 hops, 0 tokens"
    assert lines[2].startswith("workflow work: cancelled")
    after = lines[lines.index("    +0 ms  ● work.asked         from cli") :]
    assert not [line for line in after if "by workflow" in line or "waits for a person" in line]
    assert sum("by human" in line for line in after) == 1


def test_trace_timeline_tells_each_task_of_an_agent_at_its_own_time() -> None:
    """An agent that undoes three times has three tasks of one message, each with its hop."""
    found = trace_of("c", facts(saga()))
    assert found is not None
    lines = [one.text for one in timeline(found)]

    times = [line.split("└─")[0].strip() for line in lines if "└─ undo" in line]
    assert times == ["+3.52 s", "+6.00 s", "+6.91 s"]


def test_trace_command_draws_by_the_definition_on_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The version that the run started under gives the tree; `--json` has the same under `workflow`."""
    story = live(monkeypatch, [SAGA], {name: lambda _: {"ok": 1} for name in ("ann", "bob", "cyd")})
    story.arrives(message("m-1", {"n": 1}, conversation="c", type="work.asked"), at=5000)
    story.at = 5000
    story.go_on()
    shown = CliRunner().invoke(app, ["trace", "c"])
    told = json.loads(CliRunner().invoke(app, ["trace", "c", "--json"]).stdout)

    assert "  ✓     └─► ship  cyd" in shown.stdout
    assert told["workflow"]["status"] == "completed"
    assert [one["needs"] for one in told["workflow"]["steps"]] == [[], ["reserve"], ["charge"]]
    assert len(told["steps"]) == 4
