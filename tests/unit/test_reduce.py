"""The reducer's rules, one test each: a value in, a list of commands out; no loop, no sleep, no clock."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import NONE
from signalbox.routing.prompt import prompt_digest
from signalbox.routing.rules import EnginePolicy, Rulebook
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, reply, rulebook

WRITER = agent("writer", ["brief"], answers="text.written")
EDITOR = agent("editor", ["text"], answers="text.edited")
PIPELINE = rulebook(WRITER, EDITOR, policy={"completes_on": ["text.edited"]})
CROWD = rulebook(*(agent(f"a{number:02}", ["x"]) for number in range(25)))
TWINS = rulebook(agent("left", ["x"]), agent("right", ["x"]))


def says(name: str, *, confidence: float = 0.9, **more: object) -> ChatAnswer:
    text = json.dumps({"agent": name, "reason": "because", "confidence": confidence})
    return ChatAnswer(text=text, model="stub", **more)  # type: ignore[arg-type]


class TestContracts:
    def test_one_candidate_is_dispatched_without_a_model(self):
        """One contract that accepts the data decides alone, on path `contract`."""
        world = Simulation(PIPELINE)

        world.send(message("m-1", {"brief": "b"}))

        assert [d.agent for d in world.dispatches] == ["writer"]
        assert [(d.agent, d.path) for d in world.decisions] == [("writer", "contract")]
        assert not world.questions
        assert not world.pending

    def test_no_candidate_is_none_with_the_violated_fields(self):
        """Data that nobody takes is NONE, says which field was missing, and ends the conversation as `none`."""
        world = Simulation(PIPELINE)

        world.send(message("m-1", {"other": 1}))

        (decision,) = world.decisions
        assert decision.agent == NONE
        assert "brief: required" in decision.reason
        assert [o.status for o in world.outcomes] == ["none"]

    def test_a_completing_type_that_nobody_takes_completes_the_conversation(self):
        """A chain of two agents whose last answer is in `completes_on` ends as `completed` after two hops."""
        world = Simulation(PIPELINE)
        world.send(message("m-1", {"brief": "b"}))
        world.send(reply(world.dispatches[0].task, {"text": "t"}, kind="text.written"))
        world.send(reply(world.dispatches[1].task, {"final": "f"}, kind="text.edited"))

        (outcome,) = world.outcomes
        assert (outcome.status, outcome.hops, outcome.last_agent) == ("completed", 2, "editor")

    def test_handoffs_keep_a_sender_from_an_agent_whose_contract_accepts(self):
        """An empty allowlist means nobody, whatever contracts say."""
        world = Simulation(rulebook(agent("writer", ["brief"], handoffs=[]), EDITOR))
        world.send(message("m-1", {"brief": "b"}))

        world.send(reply(world.dispatches[0].task, {"text": "t"}))

        assert len(world.dispatches) == 1
        assert [o.status for o in world.outcomes] == ["none"]

    def test_policy_model_always_asks_even_with_one_candidate(self):
        """Under `model_always` a single candidate is put to the model, which may say NONE."""
        world = Simulation(rulebook(WRITER, policy={"policy": "model_always"}))
        world.send(message("m-1", {"brief": "b"}))
        assert not world.dispatches

        world.answer("c-1", says(NONE))

        assert not world.dispatches
        assert [(d.agent, d.path) for d in world.decisions] == [(NONE, "model")]


class TestModel:
    def test_several_candidates_are_put_to_the_model_as_an_enum(self):
        """The answer's schema allows exactly the candidates and NONE."""
        world = Simulation(TWINS)

        world.send(message("m-1", {"x": 1}))

        enum = world.questions["c-1"].request.schema["properties"]["agent"]["enum"]
        assert enum == ["left", "right", NONE]

    def test_answer_is_dispatched_and_recorded_with_its_cost(self):
        """A usable answer is carried out; model, tokens and prompt digest are in the record."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))

        world.answer("c-1", says("right", tokens_in=10, tokens_out=3, latency_ms=70))

        (decision,) = world.decisions
        assert (decision.agent, decision.path, decision.model) == ("right", "model", "stub")
        assert (decision.tokens_in, decision.tokens_out, decision.latency_ms) == (10, 3, 70)
        assert decision.prompt_digest
        assert [d.agent for d in world.dispatches] == ["right"]
        assert not world.pending

    def test_cached_answer_is_recorded_as_path_cache(self):
        """A hit is a tick like a model's answer, and says so."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))

        world.answer("c-1", says("left", cached=True))

        assert [(d.path, d.cached) for d in world.decisions] == [("cache", True)]

    def test_name_outside_the_candidates_is_repaired_once_then_reviewed(self):
        """An invented agent gets one repair attempt, then a person; never a default agent."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))

        world.answer("c-1", says("__consumer_offsets"))
        assert "agent must be one of left, right, NONE" in world.questions["c-1"].request.user
        world.answer("c-1", ChatAnswer(text="left, I think", model="stub"))

        assert not world.dispatches
        assert len(world.reviews) == 1
        assert not world.outcomes

    def test_question_of_a_crowd_can_be_narrowed_to_a_shortlist(self):
        """Of more than twenty candidates the model stage asks of a few: prompt and enum are those few, few others are not."""
        world = Simulation(CROWD)
        world.send(message("m-1", {"x": 1}))
        request = world.questions["c-1"].request

        assert request.narrow is not None
        narrowed = request.narrow(("a07", "a03"))
        enum = narrowed.schema["properties"]["agent"]["enum"]
        assert enum == ["a07", "a03", NONE]
        assert "a07" in narrowed.system
        assert "a08" not in narrowed.system
        assert narrowed.user == request.user
        assert narrowed.narrow is None

    def test_name_outside_the_shortlist_is_repaired(self):
        """A candidate that the model was not asked of is as good as an invented one."""
        world = Simulation(CROWD)
        world.send(message("m-1", {"x": 1}))

        world.answer("c-1", says("a08", shortlist=("a07", "a03")))
        assert "agent must be one of a07, a03, NONE" in world.questions["c-1"].request.user
        assert not world.dispatches

    def test_record_says_of_whom_the_model_was_asked_and_by_what_calibration(self):
        """The shortlist with its scores and the name of the calibration are in the record."""
        world = Simulation(CROWD)
        world.send(message("m-1", {"x": 1}))

        world.answer(
            "c-1",
            says(
                "a03",
                shortlist=("a07", "a03"),
                scores={"a07": 0.5, "a03": 0.4},
                calibration="default:lexical",
            ),
        )

        (decision,) = world.decisions
        assert decision.shortlist == ("a07", "a03")
        assert decision.calibration == "default:lexical"
        assert [d.agent for d in world.dispatches] == ["a03"]
        assert {c.agent: c.score for c in decision.candidates if c.score} == {
            "a07": 0.5,
            "a03": 0.4,
        }

    def test_retryable_failure_is_asked_again_later_then_dead_lettered(self):
        """A failing model is retried with growing waits, honours Retry-After, and ends as `model_failed`."""
        world = Simulation(rulebook(*_twins(), engine=EnginePolicy(model_max_attempts=3)))
        world.send(message("m-1", {"x": 1}))

        world.fail("c-1")
        first_wait_ms = world.questions["c-1"].not_before_ms - world.now_ms
        world.fail("c-1", retry_after_seconds=20)
        second_wait_ms = world.questions["c-1"].not_before_ms - world.now_ms
        world.fail("c-1")

        assert 250 <= first_wait_ms <= 500
        assert second_wait_ms == 20_000
        assert [(d.reason, d.attempts) for d in world.dead_letters] == [("model_failed", 3)]
        assert [o.status for o in world.outcomes] == ["failed"]

    def test_failure_that_cannot_succeed_is_not_retried(self):
        """A refused key is a dead letter at once."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))

        world.fail("c-1", "401", is_retryable=False)

        assert [d.reason for d in world.dead_letters] == ["model_failed"]

    def test_restart_asks_again_for_what_was_in_flight(self):
        """A call lost in a crash is asked again from durable state alone, under the same prompt."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))
        before = world.questions["c-1"].request

        world.restart()

        assert world.questions["c-1"].request == before

    def test_agent_removed_while_the_model_thought_is_decided_anew(self):
        """A choice that no longer exists is never dispatched; the current definitions decide."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))
        only_right = rulebook(agent("right", ["x"])).current
        assert only_right is not None
        world.rulebook = world.rulebook.activate(only_right)

        world.answer("c-1", says("left"))

        assert [d.agent for d in world.dispatches] == ["right"]


class TestOrder:
    def test_second_message_waits_while_the_first_is_being_decided(self):
        """A conversation has at most one decision in flight; the next takes its turn afterwards."""
        world = Simulation(TWINS)
        world.send(message("m-1", {"x": 1}))
        world.send(message("m-2", {"x": 2}))
        assert len(world.questions) == 1

        world.answer("c-1", says("left"))
        world.answer("c-1", says("right"))

        assert [d.task.data for d in world.dispatches] == [{"x": 1}, {"x": 2}]

    def test_other_conversations_never_wait(self):
        """A model call of one conversation does not hold another one's contract decision."""
        world = Simulation(rulebook(*_twins(), WRITER))
        world.send(message("m-1", {"x": 1}))

        world.send(message("m-2", {"brief": "b"}, conversation="c-2"))

        assert [d.agent for d in world.dispatches] == ["writer"]

    def test_message_beyond_the_waiting_limit_is_overloaded(self):
        """A conversation keeps a bounded number of messages waiting; the next is a dead letter."""
        world = Simulation(rulebook(*_twins(), engine=EnginePolicy(max_waiting_messages=2)))
        for number in range(4):
            world.send(message(f"m-{number}", {"x": number}))

        assert [d.reason for d in world.dead_letters] == ["overloaded"]
        assert [d.message_id for d in world.dead_letters] == ["m-3"]

    def test_messages_wait_for_the_first_definitions(self):
        """Before any manifest is active nothing is NONE: messages wait and are decided in order."""
        world = Simulation(Rulebook())
        world.send(message("m-1", {"brief": "b"}))
        world.send(message("m-2", {"brief": "c"}))
        assert not world.decisions

        world.activate(PIPELINE)

        assert [d.message_id for d in world.decisions] == ["m-1", "m-2"]


class TestAdmission:
    def test_second_appearance_of_an_id_is_dropped(self):
        """An id is admitted once in a conversation, also across a restart."""
        world = Simulation(PIPELINE)
        world.send(message("m-1", {"brief": "b"}))
        world.restart()

        world.send(message("m-1", {"brief": "b"}))

        assert len(world.dispatches) == 1
        assert world.counts == ["signalbox.duplicates"]

    def test_reply_without_an_open_dispatch_is_late(self):
        """Who claims to be an agent but answers no task of this conversation is a dead letter."""
        world = Simulation(PIPELINE)
        world.send(message("m-1", {"brief": "b"}))
        task = world.dispatches[0].task

        world.send(reply(task, {"text": "t"}, source="agent/editor", id="forged-1"))
        world.send(reply(task, {"text": "t"}, causationid="task-unknown", id="forged-2"))

        assert [d.reason for d in world.dead_letters] == ["late", "late"]
        assert len(world.dispatches) == 1

    def test_reply_after_the_outcome_is_late(self):
        """After the time budget ended the episode, the agent's answer is a dead letter, never history."""
        world = Simulation(PIPELINE)
        world.send(message("m-1", {"brief": "b"}))
        world.pass_time(3601)
        assert [o.status for o in world.outcomes] == ["expired"]

        world.send(reply(world.dispatches[0].task, {"text": "t"}))

        assert [d.reason for d in world.dead_letters] == ["late"]

    def test_message_from_outside_after_the_outcome_opens_a_new_episode(self):
        """A conversation that ended starts again with fresh budgets when somebody writes."""
        world = Simulation(PIPELINE)
        world.send(message("m-1", {"other": 1}))

        world.send(message("m-2", {"brief": "b"}))

        assert world.state_of("c-1").episode == 2
        assert world.dispatches[0].task.hop == 1

    def test_episodes_are_bounded(self):
        """Beyond the fleet's episodes a conversation takes no more messages."""
        world = Simulation(rulebook(WRITER, policy={"max_episodes": 2}))
        for number in range(3):
            world.send(message(f"m-{number}", {"other": number}))

        assert len(world.outcomes) == 2
        assert [d.reason for d in world.dead_letters] == ["overloaded"]

    def test_expired_deadline_is_a_dead_letter(self):
        """A message whose own deadline has passed is not acted on."""
        world = Simulation(PIPELINE)

        world.send(message("m-1", {"brief": "b"}, deadline="2020-01-01T00:00:00Z"))

        assert [d.reason for d in world.dead_letters] == ["expired"]
        assert not world.dispatches

    def test_engine_types_from_outside_are_refused(self):
        """Only an agent may say that its task failed."""
        world = Simulation(PIPELINE)

        world.send(message("m-1", {}, type="task.failed"))

        assert [d.reason for d in world.dead_letters] == ["invalid_envelope"]


class TestTargets:
    def test_named_targets_skip_the_decision_one_slot_each(self):
        """Every named agent gets the data under a task id of its own, on path `explicit`."""
        world = Simulation(rulebook(*_twins()))

        world.send(message("m-1", {"x": 1}, target="left, right"))

        assert [d.agent for d in world.dispatches] == ["left", "right"]
        assert [(d.slot, d.path) for d in world.decisions] == [
            ("target:0", "explicit"),
            ("target:1", "explicit"),
        ]
        assert len({d.task.id for d in world.dispatches}) == 2

    def test_unknown_target_is_a_dead_letter_that_names_the_agents(self):
        """A target that does not exist reaches nobody, not even the other targets."""
        world = Simulation(PIPELINE)

        world.send(message("m-1", {"brief": "b"}, target="writer,nobody"))

        (dead,) = world.dead_letters
        assert dead.reason == "unknown_agent"
        assert "editor, writer" in dead.detail
        assert not world.dispatches
        assert not world.outcomes

    def test_target_whose_contract_refuses_the_data_is_a_dead_letter(self):
        """Naming an agent does not get around its contract."""
        world = Simulation(PIPELINE)

        world.send(message("m-1", {"brief": "b"}, target="editor"))

        assert [d.reason for d in world.dead_letters] == ["unknown_agent"]
        assert "text: required" in world.dead_letters[0].detail

    def test_outcome_waits_for_every_branch(self):
        """With two agents at work the conversation ends when the last has answered, and a failure is not hidden."""
        world = Simulation(rulebook(*_twins()))
        world.send(message("m-1", {"x": 1}, target="left,right"))
        left, right = (d.task for d in world.dispatches)

        world.send(reply(left, {"detail": "boom"}, kind="task.failed"))
        assert not world.outcomes
        world.send(reply(right, {"done": True}))

        assert [o.status for o in world.outcomes] == ["failed"]


class TestBudgets:
    def test_ping_pong_ends_at_the_hop_budget(self):
        """Two agents that feed each other for ever end with `hop_budget`."""
        ping = agent("ping", ["ping"])
        pong = agent("pong", ["pong"])
        world = Simulation(rulebook(ping, pong, policy={"budgets": {"hops": 5}}))
        world.send(message("m-1", {"ping": 0}))
        for number in range(20):
            if world.outcomes:
                break
            task = world.dispatches[-1].task
            other = "pong" if task.target == "ping" else "ping"
            world.send(reply(task, {other: number}))

        assert [(o.status, o.hops) for o in world.outcomes] == [("hop_budget", 5)]

    def test_same_data_to_the_same_agent_twice_is_a_loop(self):
        """An agent that answers with what it was given is stopped at once."""
        echo = agent("echo", ["x"])
        world = Simulation(rulebook(echo))
        world.send(message("m-1", {"x": 1}))

        world.send(reply(world.dispatches[0].task, {"x": 1}))

        assert [o.status for o in world.outcomes] == ["loop"]

    def test_tokens_of_models_and_handlers_count_against_the_budget(self):
        """An episode that spent more than its tokens dispatches no further."""
        world = Simulation(rulebook(WRITER, EDITOR, policy={"budgets": {"tokens": 100}}))
        world.send(message("m-1", {"brief": "b"}))

        world.send(reply(world.dispatches[0].task, {"text": "t"}, tokensused=101))

        assert [(o.status, o.tokens) for o in world.outcomes] == [("token_budget", 101)]

    def test_tokens_of_the_router_and_of_agents_stop_it_together(self):
        """Neither alone is over the budget; a cached answer adds nothing."""
        world = Simulation(rulebook(*_twins(), EDITOR, policy={"budgets": {"tokens": 100}}))
        world.send(message("m-1", {"x": 1}))
        world.answer("c-1", says("left", tokens_in=50, tokens_out=10))
        world.send(reply(world.dispatches[0].task, {"x": 2}, tokensused=39))
        world.answer("c-1", says("right", cached=True))
        assert world.outcomes == []

        world.send(reply(world.dispatches[1].task, {"text": "t"}, tokensused=2))

        assert [(o.status, o.tokens, o.hops) for o in world.outcomes] == [("token_budget", 101, 2)]

    def test_person_who_decides_after_a_model_carries_its_tokens(self):
        """What was spent before the review is in the record of the decision."""
        review = {"review": {"below_confidence": 0.5}}
        world = Simulation(rulebook(*_twins(), policy=review))
        world.send(message("m-1", {"x": 1}))
        world.answer("c-1", says("left", confidence=0.1, tokens_in=70, tokens_out=7))

        resolved = {"message_id": "m-1", "agent": "right"}
        world.send(message("m-2", resolved, type="review.resolved"))

        (decision,) = world.decisions
        assert (decision.path, decision.tokens_in, decision.tokens_out) == ("human", 70, 7)

    def test_what_a_person_says_stands_in_the_reason(self):
        """A note is kept with the decision, cut where it is long; what is no text is written as one."""
        for comment, kept in (("she asked", "she asked"), ("x" * 5000, "x" * 500), (7, "7")):
            world = Simulation(rulebook(*_twins(), policy={"review": {"below_confidence": 0.5}}))
            world.send(message("m-1", {"x": 1}))
            world.answer("c-1", says("left", confidence=0.1))
            resolved = {"message_id": "m-1", "agent": "right", "comment": comment}
            world.send(message("m-2", resolved, type="review.resolved"))

            assert world.decisions[0].reason == f"cli decided: {kept}"

    def test_silent_agent_ends_as_expired_and_a_status_extends_it(self):
        """A task without a sign of life expires; a status message moves its deadline."""
        world = Simulation(rulebook(WRITER, policy={"budgets": {"task_seconds": 60}}))
        world.send(message("m-1", {"brief": "b"}))
        task = world.dispatches[0].task

        world.pass_time(50)
        world.send(reply(task, {"status": "busy"}, kind="task.status", id="s-1"))
        world.pass_time(50)
        assert not world.outcomes
        world.pass_time(20)

        assert [o.status for o in world.outcomes] == ["expired"]
        assert "writer did not answer" in world.outcomes[0].detail


class TestReview:
    def test_low_confidence_is_parked_and_a_person_decides(self):
        """Below the fleet's confidence a person is asked; the decision's path is `human`."""
        world = Simulation(rulebook(*_twins(), policy={"review": {"below_confidence": 0.5}}))
        world.send(message("m-1", {"x": 1}))
        world.answer("c-1", says("left", confidence=0.4))
        assert len(world.reviews) == 1

        world.send(message("m-2", {"message_id": "m-1", "agent": "right"}, type="review.resolved"))

        assert [(d.agent, d.path) for d in world.decisions] == [("right", "human")]
        assert [d.agent for d in world.dispatches] == ["right"]
        assert not world.pending

    @pytest.mark.parametrize(
        ("policy", "text", "told"),
        [
            ({"below_confidence": 0.5}, '{"agent":"left","reason":"r","confidence":0.4}', 0.4),
            ({"on_none": True}, '{"agent":"NONE","reason":"r","confidence":0.8}', 0.8),
            ({}, "left, I think", None),
        ],
    )
    def test_review_says_what_a_model_was_asked_said_and_cost(self, policy, text, told):
        """Whoever decides, or asks later why, has the model's part: unsure, NONE, or an answer nobody can use."""
        world = Simulation(rulebook(*_twins(), policy={"review": policy}))
        world.send(message("m-1", {"x": 1}))
        first = world.questions["c-1"].request
        while world.questions:
            world.answer("c-1", ChatAnswer(text=text, model="stub", tokens_in=20, tokens_out=3))

        (review,) = world.reviews
        assert (review.model, review.answer, review.confidence) == ("stub", text, told)
        assert review.prompt_digest == prompt_digest(first)
        assert review.definitions_digest == world.rulebook.current.digest
        calls = 1 if told is not None else 2
        assert (review.tokens_in, review.tokens_out) == (20 * calls, 3 * calls)

    def test_review_without_a_model_names_the_definitions_alone(self):
        """Where contracts let nobody act there was no model to quote."""
        world = Simulation(rulebook(WRITER, policy={"review": {"on_none": True}}))
        world.send(message("m-1", {"other": 1}))

        (review,) = world.reviews
        assert review.definitions_digest == world.rulebook.current.digest
        assert (review.model, review.answer, review.prompt_digest) == (None, None, None)

    def test_nobody_decides_before_the_deadline_is_none(self):
        """A parked message does not wait for ever."""
        world = Simulation(
            rulebook(WRITER, policy={"review": {"on_none": True, "deadline_seconds": 600}})
        )
        world.send(message("m-1", {"other": 1}))
        assert len(world.reviews) == 1

        world.pass_time(601)

        assert [o.status for o in world.outcomes] == ["none"]
        assert not world.pending

    def test_person_cannot_overrule_a_contract(self):
        """An agent that could not use the data is refused and the message stays parked."""
        world = Simulation(rulebook(WRITER, EDITOR, policy={"review": {"on_none": True}}))
        world.send(message("m-1", {"other": 1}))

        world.send(message("m-2", {"message_id": "m-1", "agent": "writer"}, type="review.resolved"))

        assert not world.dispatches
        assert len(world.reviews) == 2
        assert not world.outcomes

    def test_resolution_of_nothing_is_late(self):
        """Resolving what is not parked changes nothing."""
        world = Simulation(PIPELINE)

        world.send(message("m-2", {"message_id": "m-1", "agent": "writer"}, type="review.resolved"))

        assert [d.reason for d in world.dead_letters] == ["late"]

    def test_escalated_task_is_parked_with_its_own_data(self):
        """An agent that asks for a person hands back its task, which the person can give to another agent."""
        world = Simulation(rulebook(*_twins()))
        world.send(message("m-1", {"x": 1}, target="left"))
        task = world.dispatches[0].task
        escalated = reply(task, {"reason": "unsure", "data": task.data}, kind="task.escalated")
        world.send(escalated)

        resolved = {"message_id": escalated.id, "agent": "right"}
        world.send(message("m-2", resolved, type="review.resolved"))

        assert world.dispatches[-1].agent == "right"
        assert world.dispatches[-1].task.data == {"x": 1}

    def test_escalated_task_that_waited_its_turn_is_still_a_persons(self):
        """An escalation that arrives while another message is at the model is parked when its turn comes, with its reason."""
        world = Simulation(rulebook(*_twins()))
        world.send(message("m-1", {"x": 1}, target="left"))
        world.send(message("m-2", {"x": 2}))
        task = world.dispatches[0].task
        asks = {"reason": "unsure", "data": task.data}
        world.send(reply(task, asks, kind="task.escalated"))

        world.answer("c-1", says("right"))

        assert [d.agent for d in world.dispatches] == ["left", "right"]
        assert [r.reason for r in world.reviews] == ["left asks for a person: unsure"]
        assert world.reviews[0].message.data == {"x": 1}
        resolved = {"message_id": world.reviews[0].message.id, "agent": "right"}
        world.send(message("m-3", resolved, type="review.resolved"))
        assert world.dispatches[-1].task.data == {"x": 1}


def _twins():
    return agent("left", ["x"]), agent("right", ["x"])


class TestRemovedAgents:
    def test_answer_of_an_agent_removed_long_ago_goes_where_its_handoffs_allow(self):
        """However many sets came since, what it may hand off to is known while it is retired, and nothing more is allowed."""
        writer = agent("writer", ["brief"], handoffs=["editor"])
        world = Simulation(rulebook(writer, EDITOR))
        world.send(message("m-1", {"brief": "b"}))
        world.send(message("m-2", {"brief": "c"}, conversation="c-2"))
        first, second = (dispatch.task for dispatch in world.dispatches)
        world.rulebook = replace(
            rulebook(EDITOR, agent("painter", ["sketch"])), retired={"writer": writer}
        )

        world.send(reply(first, {"text": "t"}))
        world.send(reply(second, {"sketch": "s"}))

        assert [d.agent for d in world.decisions[2:]] == ["editor", NONE]

    def test_answer_of_an_agent_that_nobody_remembers_goes_nowhere(self):
        """An allowlist that is not known is not taken for none."""
        world = Simulation(rulebook(agent("writer", ["brief"], handoffs=["editor"]), EDITOR))
        world.send(message("m-1", {"brief": "b"}))
        world.rulebook = rulebook(EDITOR)

        world.send(reply(world.dispatches[0].task, {"text": "t"}))

        assert world.decisions[-1].agent == NONE

    def test_task_turned_away_because_its_agent_was_removed_fails_its_conversation_at_once(self):
        """The conversation does not wait for the task's deadline, and its outcome says why."""
        world = Simulation(PIPELINE)
        world.send(message("m-1", {"brief": "b"}))
        world.rulebook = rulebook(EDITOR)

        data = {"reason": "agent_removed", "detail": "the agent was removed"}
        world.send(reply(world.dispatches[0].task, data, kind="task.failed"))

        (outcome,) = world.outcomes
        assert (outcome.status, outcome.detail) == ("failed", "writer: the agent was removed")

    def test_new_message_is_never_for_a_removed_agent(self):
        """Being remembered for its answers makes no candidate of it, by contract or by name."""
        world = Simulation(replace(rulebook(EDITOR), retired={"writer": WRITER}))

        world.send(message("m-1", {"brief": "b"}))
        world.send(message("m-2", {"brief": "b"}, conversation="c-2", target="writer"))

        assert world.dispatches == []
        assert [letter.reason for letter in world.dead_letters] == ["unknown_agent"]
