"""Fan-out to subscribers in the reducer: a message in, commands out; no broker, no sleep."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import NONE
from signalbox.contracts.ids import dispatch_id
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import Rulebook
from signalbox.routing.simulation import Simulation
from signalbox.routing.state import Conversation
from signalbox.routing.subscriptions import Subscriptions
from signalbox.routing.ticks import MessageArrived, Origin
from tests.support.fleets import agent, message, reply, rulebook

HOPS = 5
BUDGETS = {"budgets": {"hops": HOPS, "tokens": 500, "seconds": 600, "task_seconds": 60}}
LEADS = [{"event_type": "lead.*"}]


def subscriber(name, requires=("x",), *, filters=LEADS, role="subscriber", **more):
    subscribe = {"filters": filters, "role": role, **more.pop("subscribe", {})}
    return agent(name, requires, subscribe=subscribe, closed=False, **more)


def agents_of(world: Simulation) -> list[str]:
    return sorted(one.agent for one in world.dispatches)


def left_out(world: Simulation):
    return [one for one in world.decisions if one.slot == "subscription"]


class TestFanOut:
    def test_every_matching_subscriber_has_a_task_of_its_own_besides_the_routed_agent(self):
        """One message: the routed agent by contract, each subscriber by subscription, each with its own slot and id."""
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear"), subscriber("eye")))

        world.send(message("m-1", {"x": 1}))

        assert agents_of(world) == ["ear", "eye", "worker"]
        assert {(one.agent, one.slot, one.path) for one in world.decisions} == {
            ("ear", "subscription:ear", "subscription"),
            ("eye", "subscription:eye", "subscription"),
            ("worker", "route", "contract"),
        }
        ids = {one.agent: one.task.id for one in world.dispatches}
        assert ids["ear"] == dispatch_id("m-1", "subscription:ear")
        assert len(set(ids.values())) == 3

    def test_a_message_of_another_type_is_not_heard(self):
        """Where no filter fits there is neither a task nor a record."""
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear")))

        world.send(message("m-1", {"x": 1}, type="order.placed"))

        assert agents_of(world) == ["worker"]
        assert [one.slot for one in world.decisions] == ["route"]

    def test_without_filters_everything_is_heard(self):
        """No filter means every message."""
        world = Simulation(rulebook(subscriber("ear", filters=[])))

        world.send(message("m-1", {"x": 1}, type="any.thing"))

        assert agents_of(world) == ["ear"]

    def test_a_subscription_has_its_own_priority_and_the_routed_task_keeps_the_message_s(self):
        """`subscribe.priority` is the task's; absent, the message's own."""
        world = Simulation(
            rulebook(
                agent("worker", ["x"]),
                subscriber("ear", subscribe={"priority": 2}),
                subscriber("eye"),
            )
        )

        world.send(message("m-1", {"x": 1}, priority=7))

        priorities = {one.agent: one.task.priority for one in world.dispatches}
        assert priorities == {"worker": 7, "ear": 2, "eye": 7}

    def test_a_subscriber_by_role_is_no_candidate(self):
        """Its contract accepts the data, and yet nothing is routed to it and no model is asked to choose."""
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear", filters=LEADS)))

        world.send(message("m-1", {"x": 1}, type="order.placed"))

        assert agents_of(world) == ["worker"]
        assert not world.questions

    def test_a_candidate_that_has_the_message_by_subscription_gets_no_second_task(self):
        """The decision is recorded as it fell; the task that the agent has already is the only one."""
        world = Simulation(rulebook(subscriber("both", role="candidate")))

        world.send(message("m-1", {"x": 1}))

        assert [one.task.id for one in world.dispatches] == [
            dispatch_id("m-1", "subscription:both")
        ]
        routed = next(one for one in world.decisions if one.slot == "route")
        assert (routed.agent, routed.path) == ("both", "contract")
        assert "no second task" in routed.reason

    def test_a_message_that_waits_for_a_decision_is_heard_at_once_and_only_once(self):
        """While a model decides the first message, the second one's subscribers have it already; its turn adds no task."""
        world = Simulation(
            rulebook(
                agent("left", ["x"], closed=False),
                agent("right", ["x"], closed=False),
                subscriber("ear"),
            )
        )
        world.send(message("m-1", {"x": 1}))
        world.send(message("m-2", {"x": 2}))
        assert [one.task.causationid for one in world.dispatches] == ["m-1", "m-2"]

        says(world, "left")
        says(world, "right")

        assert agents_of(world) == ["ear", "ear", "left", "right"]

    def test_what_waits_for_the_first_definitions_is_heard_when_they_are_there(self):
        """Nothing is lost before the first manifest is active."""
        world = Simulation(Rulebook())
        world.send(message("m-1", {"x": 1}))

        world.activate(rulebook(subscriber("ear")))

        assert agents_of(world) == ["ear"]

    def test_a_message_sent_twice_is_heard_once(self):
        """A duplicate is dropped before anybody hears it."""
        world = Simulation(rulebook(subscriber("ear")))

        world.send(message("m-1", {"x": 1}))
        world.send(message("m-1", {"x": 1}))

        assert agents_of(world) == ["ear"]

    def test_commands_of_a_tick_are_the_same_whenever_it_is_taken(self):
        """State and tick give commands; taken again after a failure they are equal."""
        rules = rulebook(agent("worker", ["x"]), subscriber("ear"))
        tick = MessageArrived(message("m-1", {"x": 1}), Origin("agent_messages"))

        first = reduce(Conversation("c-1"), tick, 1_000, rules)
        second = reduce(Conversation("c-1"), tick, 1_000, rules)

        assert first == second
        assert [type(one).__name__ for one in first[1]] == [
            "RecordDecision",
            "Dispatch",
            "Count",
            "RecordDecision",
            "Dispatch",
        ]


class TestTargets:
    def test_a_message_with_a_target_is_heard_by_nobody_else(self):
        """An explicit target bypasses routing and subscriptions."""
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear")))

        world.send(message("m-1", {"x": 1}, target="worker"))

        assert agents_of(world) == ["worker"]

    def test_a_subscriber_can_be_the_target(self):
        """It is no candidate, but whoever names it reaches it."""
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear")))

        world.send(message("m-1", {"x": 1}, target="ear"))

        assert [(one.agent, one.path) for one in world.decisions] == [("ear", "explicit")]

    def test_a_message_without_target_or_taker_is_broadcast_and_complete(self):
        """Publish-subscribe: nobody is routed to, all subscribers have it, and the conversation is completed, not `none`."""
        world = Simulation(
            rulebook(
                subscriber("ear"),
                subscriber("eye"),
                policy={"review": {"on_none": True}, "completes_on": ["noted.down"]},
            )
        )
        world.send(message("m-1", {"x": 1}))
        assert agents_of(world) == ["ear", "eye"]
        assert not world.reviews

        for dispatch in list(world.dispatches):
            world.send(reply(dispatch.task, {"q": 1}, kind="noted.down"))

        assert next(one.agent for one in world.decisions if one.slot == "route") == NONE
        assert [one.status for one in world.outcomes] == ["completed"]


class TestAnswers:
    def test_an_answer_of_a_subscriber_is_a_message_like_any_other(self):
        """It is routed by contract, and its tokens count."""
        world = Simulation(
            rulebook(subscriber("ear", answers="ear.noted"), agent("filer", ["note"]))
        )
        world.send(message("m-1", {"x": 1}))

        world.send(reply(world.dispatches[0].task, {"note": "n"}, kind="ear.noted", tokensused=7))

        assert agents_of(world) == ["ear", "filer"]
        assert world.state_of("c-1").tokens == 7

    def test_an_answer_of_a_listener_ends_its_branch(self):
        """Nobody is asked who takes it, and the conversation ends as it would have without the listener."""
        fleet = [agent("worker", ["x"]), subscriber("ear", role="listener")]
        world = Simulation(rulebook(*fleet, policy={"completes_on": ["worker.done"]}))
        world.send(message("m-1", {"x": 1}))
        ear, worker = (
            next(d for d in world.dispatches if d.agent == name) for name in ("ear", "worker")
        )
        world.send(reply(ear.task, {"x": 1}, kind="lead.noted"))
        assert len(world.dispatches) == 2

        world.send(reply(worker.task, {"done": 1}))

        assert [one.status for one in world.outcomes] == ["completed"]

    @pytest.mark.parametrize("way", ["fails", "is silent", "escalates"])
    def test_a_listener_in_trouble_changes_no_outcome(self, way):
        """Its failure, its silence and its doubts are its own; the conversation is completed."""
        fleet = [agent("worker", ["x"]), subscriber("ear", role="listener")]
        policy = {**BUDGETS, "completes_on": ["worker.done"]}
        world = Simulation(rulebook(*fleet, policy=policy))
        world.send(message("m-1", {"x": 1}))
        ear, worker = (
            next(d for d in world.dispatches if d.agent == name) for name in ("ear", "worker")
        )
        world.send(reply(worker.task, {"done": 1}))
        assert not world.outcomes

        if way == "is silent":
            world.pass_time(61)
        else:
            kind = "task.failed" if way == "fails" else "task.escalated"
            world.send(reply(ear.task, {"reason": "r", "data": {"x": 1}}, kind=kind))

        assert [one.status for one in world.outcomes] == ["completed"]

    def test_a_message_that_only_listeners_hear_is_none(self):
        """Listening is not acting: a message that nobody takes is not hidden by an audit."""
        world = Simulation(rulebook(subscriber("ear", role="listener")))
        world.send(message("m-1", {"x": 1}))

        world.send(reply(world.dispatches[0].task, {}, kind="ear.noted"))

        assert [one.status for one in world.outcomes] == ["none"]

    def test_an_acting_subscriber_that_fails_fails_the_conversation(self):
        """Its branch is one like any other."""
        world = Simulation(rulebook(subscriber("ear")))
        world.send(message("m-1", {"x": 1}))

        world.send(reply(world.dispatches[0].task, {"reason": "r"}, kind="task.failed"))

        assert [one.status for one in world.outcomes] == ["failed"]


class TestRefusals:
    def test_a_subscriber_whose_contract_refuses_is_recorded_and_not_dead_lettered(self):
        """One record of the message lists who did not get it and why; the others are not kept from it."""
        world = Simulation(
            rulebook(agent("worker", ["x"]), subscriber("ear"), subscriber("eye", ["y"]))
        )

        world.send(message("m-1", {"x": 1}))

        (record,) = left_out(world)
        assert (record.agent, record.path) == (NONE, "subscription")
        assert [(one.agent, one.accepted) for one in record.candidates] == [("eye", False)]
        assert "y: required" in record.reason
        assert not world.dead_letters
        assert agents_of(world) == ["ear", "worker"]
        assert "signalbox.subscription_refusals" in world.counts

    def test_a_filter_that_fails_is_no_match_is_counted_and_is_in_the_record(self):
        """A comparison without a meaning gives no task, and the reason can be read."""
        filters = [{"where": "data.x > 5"}]
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear", filters=filters)))

        world.send(message("m-1", {"x": "many"}))

        (record,) = left_out(world)
        assert agents_of(world) == ["worker"]
        assert "filter failed: data.x is a JSON string" in record.reason
        assert world.counts.count("signalbox.filter_failures") == 1

    @pytest.mark.parametrize(
        "spec", [{"regex": "^(a+)+$"}, {"json_path": "$.x", "regex": "(a|a)*b$"}]
    )
    def test_a_pattern_that_would_backtrack_for_ever_holds_nothing_up(self, spec):
        """It is no match, the routed agent and the other subscribers have the message, and there is no dead letter."""
        fleet = (subscriber("ear", filters=[spec]), subscriber("eye", filters=[]))
        world = Simulation(rulebook(agent("worker", ["x"]), *fleet))

        world.send(message("m-1", {"x": "a" * 100_000 + "!"}))

        assert agents_of(world) == ["eye", "worker"]
        assert not world.dead_letters
        assert "signalbox.filter_failures" not in world.counts

    def test_who_did_not_get_it_is_bounded_in_the_record(self):
        """Of fifty refusals twenty are listed, and all are counted."""
        crowd = [subscriber(f"s{number:02}", ["y"]) for number in range(50)]
        world = Simulation(rulebook(agent("worker", ["x"]), *crowd))

        world.send(message("m-1", {"x": 1}))

        (record,) = left_out(world)
        assert (len(record.candidates), record.rejected_total) == (20, 50)


class TestCircles:
    def test_an_agent_never_hears_its_own_answer(self):
        """A subscriber to everything that answers is not its own audience."""
        world = Simulation(rulebook(subscriber("ear", filters=[])))
        world.send(message("m-1", {"x": 1}))

        world.send(reply(world.dispatches[0].task, {"x": 2}))

        assert len(world.dispatches) == 1
        assert [one.status for one in world.outcomes] == ["completed"]

    @pytest.mark.parametrize("echoes", [2, 4])
    def test_subscribers_that_answer_each_other_end(self, echoes):
        """However many echo each other, each hears at most as many answers as there are hops, and the conversation ends."""
        fleet = [subscriber(f"echo{number}", filters=[]) for number in range(echoes)]
        world = Simulation(rulebook(*fleet, policy=BUDGETS))
        world.send(message("m-1", {"x": 1}))

        answered = 0
        while answered < len(world.dispatches):
            world.send(reply(world.dispatches[answered].task, {"x": answered}))
            answered += 1
            assert answered <= echoes * (HOPS + 1)

        assert answered == echoes * (HOPS + 1)
        assert len(world.outcomes) == 1
        assert any("as many as there are hops" in one.reason for one in left_out(world))

    def test_what_was_heard_counts_anew_in_each_episode(self):
        """The bound is the episode's, like the hops."""
        fleet = [subscriber("one", filters=[]), subscriber("two", filters=[])]
        world = Simulation(rulebook(*fleet, policy=BUDGETS))
        counts = []
        for number in range(2):
            world.send(message(f"m-{number}", {"x": 1}))
            answered = sum(counts)
            while answered < len(world.dispatches):
                world.send(reply(world.dispatches[answered].task, {"x": answered}))
                answered += 1
            counts.append(answered - sum(counts))

        assert counts[0] == counts[1] > 2

    def test_subscribers_hear_nothing_once_the_tokens_are_spent(self):
        """The token budget holds for them as well, and the record says so."""
        world = Simulation(rulebook(agent("worker", ["x"]), subscriber("ear"), policy=BUDGETS))
        world.send(message("m-1", {"x": 1}))
        ear = next(one for one in world.dispatches if one.agent == "ear")

        world.send(reply(ear.task, {"q": 1}, tokensused=501))
        world.send(message("m-2", {"x": 2}))

        assert "501 of 500 tokens are spent" in left_out(world)[-1].reason

    def test_a_subscription_takes_no_hop_from_the_routed_agents(self):
        """Thirty subscribers and a budget of five hops: the worker gets its task."""
        crowd = [subscriber(f"s{number:02}") for number in range(30)]
        world = Simulation(rulebook(agent("worker", ["x"]), *crowd, policy=BUDGETS))

        world.send(message("m-1", {"x": 1}))

        assert len(world.dispatches) == 31
        assert world.state_of("c-1").hops == 1


class TestPause:
    FLEET = (
        agent(
            "trader",
            ["x"],
            pause_on=[{"event_type": "market.halt"}],
            resume_on=[{"event_type": "market.resume"}],
        ),
    )

    def test_an_event_pauses_and_another_resumes(self):
        """Both from a conversation of their own: the commands name the agent, not a conversation."""
        world = Simulation(rulebook(*self.FLEET))

        world.send(message("m-1", {}, conversation="news", type="market.halt"))
        assert world.paused == {"trader": True}
        world.send(message("m-2", {}, conversation="desk", type="market.resume"))

        assert world.paused == {"trader": False}
        assert world.counts.count("signalbox.pauses") == 2

    def test_a_paused_agent_still_gets_its_tasks(self):
        """They wait in its topic: routing does not look at pauses."""
        world = Simulation(rulebook(*self.FLEET))
        world.send(message("m-1", {}, conversation="news", type="market.halt"))

        world.send(message("m-2", {"x": 1}))

        assert agents_of(world) == ["trader"]

    def test_a_message_with_a_target_pauses_as_well(self):
        """Whom a message is addressed to says nothing about what it means."""
        fleet = (*self.FLEET, agent("desk", ["y"]))
        world = Simulation(rulebook(*fleet))

        world.send(message("m-1", {"y": 1}, type="market.halt", target="desk"))

        assert world.paused == {"trader": True}


class TestIndex:
    def test_only_filters_that_the_type_may_concern_are_asked(self):
        """Of a thousand subscribers to a thousand types one is asked, wherever in the composite the type stands."""
        asked = []
        fleet = {
            f"s{number}": subscriber(
                f"s{number}",
                filters=[
                    {"where": f"data.x > 0 AND (type = t{number}.seen OR type = u{number}.*)"}
                ],
            )
            for number in range(1_000)
        }
        found = Subscriptions(fleet)
        for question in {q for qs in found._index._exact.values() for q in qs}:
            object.__setattr__(question, "check", _Spy(question.check, asked))

        heard = found.of(message("m-1", {"x": 1}, type="t7.seen"))

        assert heard.subscribers == ("s7",)
        assert len(asked) == 1


class _Spy:
    def __init__(self, check, asked):
        self._check, self._asked = check, asked

    def asks(self, view):
        self._asked.append(view)
        return self._check.asks(view)


ECHO = rulebook(
    agent("worker", ["x"], closed=False, answers="work.done"),
    agent("other", ["x"], closed=False, answers="work.done"),
    subscriber("all", filters=[]),
    subscriber("echo", filters=[{"event_type": "*.done"}], answers="echo.done"),
    subscriber("audit", filters=[], role="listener"),
    subscriber("also", ["y"], filters=[{"where": "data.y > 1"}], role="candidate"),
    policy={**BUDGETS, "completes_on": ["echo.done"], "max_episodes": 4},
)
ACTIONS = st.one_of(
    st.tuples(
        st.just("send"), st.integers(0, 9), st.sampled_from([{"x": 1}, {"y": 2}, {"y": "a"}, {}])
    ),
    st.tuples(
        st.just("reply"),
        st.integers(0, 60),
        st.sampled_from([{"x": 1}, {"x": 2}, {"y": 2}, {"z": 1}]),
    ),
    st.tuples(st.just("answer"), st.sampled_from(["worker", "other", "NONE"])),
    st.tuples(st.just("time"), st.sampled_from([1, 61])),
    st.tuples(st.just("restart")),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_any_history_with_subscribers_ends_and_keeps_its_bounds(actions):
    """Every episode has one outcome, nothing stays pending, no slot is decided twice, no agent hears more than its bound."""
    world = Simulation(ECHO)
    outside = 0
    for name, *arguments in actions:
        if name == "send":
            outside += 1
            world.send(message(f"m-{arguments[0]}", arguments[1]))
        elif name == "reply" and world.dispatches:
            task = world.dispatches[arguments[0] % len(world.dispatches)].task
            world.send(reply(task, arguments[1]))
        elif name == "answer" and "c-1" in world.questions:
            says(world, arguments[0])
        elif name == "time":
            world.pass_time(arguments[0])
        elif name == "restart":
            world.restart()
    for _ in range(200):
        if not world.state_of("c-1").is_open:
            break
        world.pass_time(601)

    assert not world.pending
    assert len(world.outcomes) == world.state_of("c-1").episode
    slots = [(one.message_id, one.slot) for one in world.decisions]
    assert len(slots) == len(set(slots))
    tasks = [one.task.id for one in world.dispatches]
    assert len(tasks) == len(set(tasks))
    for blob in world.blobs.values():
        assert Conversation.decode(blob).encode() == blob
    episodes = max(1, len(world.outcomes))
    for name in ("all", "echo", "audit"):
        heard = sum(one.agent == name for one in world.dispatches)
        assert heard <= outside + episodes * HOPS


def says(world: Simulation, name: str) -> None:
    text = json.dumps({"agent": name, "reason": "because", "confidence": 0.9})
    world.answer("c-1", ChatAnswer(text=text, model="stub"))
