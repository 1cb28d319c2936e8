"""The operator's router against keyed state, without Flink: what is written, what state holds, what a restart does."""

from __future__ import annotations

import pytest

from flink_jobs.operators.shard_memory import RECENT
from flink_jobs.operators.tick_reducer import Reduce
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import TASK_ASSIGNED
from signalbox.errors import RetryableError, TerminalError
from signalbox.routing import commands as c
from signalbox.routing import ticks as t
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import EnginePolicy, Rulebook
from signalbox.routing.state import Conversation
from tests.support.fleets import agent, message, rulebook
from tests.support.operator_world import TTL_MS, FakeMap, OperatorWorld

Reduction = tuple[Conversation, tuple[c.Command, ...]]

ALPHA = agent("alpha", ["a"])
BETA = agent("beta", ["b"], closed=False)
GAMMA = agent("gamma", ["b"], closed=False)
RULES = rulebook(ALPHA, BETA, GAMMA)


def test_router_one_candidate_writes_decision_and_task() -> None:
    """A message that one contract accepts becomes a decision and a task under the prefix, keyed by conversation."""
    world = OperatorWorld(RULES)
    rows = world.send(message("m-1", {"a": 1}))

    assert [(row.topic, row.key) for row in rows] == [
        ("test.agent_decisions", "c-1"),
        ("test.agent_tasks_alpha", "c-1"),
    ]
    assert rows[1].headers["ce_type"] == TASK_ASSIGNED.encode()
    assert world.counts == ["signalbox.messages", "signalbox.decisions"]


def test_router_contract_path_touches_only_the_conversation() -> None:
    """A new conversation that contracts decide costs one blob and one deadline, and no read at all."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))

    assert world.pending.everything() == {}
    assert (world.conversations.writes, world.conversations.reads) == (1, 0)
    assert (world.deadlines.writes, world.deadlines.reads) == (1, 0)


def test_router_duplicate_changes_nothing() -> None:
    """A message seen before writes no row and no state."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    writes = world.conversations.writes

    assert world.send(message("m-1", {"a": 1})) == []
    assert world.conversations.writes == writes
    assert world.counts[-1] == "signalbox.duplicates"


def test_router_two_candidates_ask_the_model_and_dispatch_its_choice() -> None:
    """The message waits in durable state while the model is asked, and leaves it with the answer."""
    world = OperatorWorld(RULES)
    assert world.send(message("m-1", {"b": 1})) == []
    assert list(world.pending.everything()) == ["0:c-1"]

    world.calls.choose("c-1", "gamma")
    rows = world.pulse("c-1")

    assert [row.topic for row in rows] == ["test.agent_decisions", "test.agent_tasks_gamma"]
    assert world.pending.everything() == {}
    assert world.records("agent_decisions")[0]["path"] == "model"


def test_router_waiting_message_gets_its_turn_at_once() -> None:
    """When the first decision falls, the message behind it is decided in the same breath."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"b": 1}))
    world.send(message("m-2", {"a": 1}))
    world.calls.choose("c-1", "beta")
    rows = world.pulse("c-1")

    assert [row.topic for row in rows if "tasks" in row.topic] == [
        "test.agent_tasks_beta",
        "test.agent_tasks_alpha",
    ]
    assert world.pending.everything() == {}


def test_router_model_failure_is_asked_again_not_before_its_time() -> None:
    """A retryable failure asks again with a time not to be before; a terminal one is a dead letter."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"b": 1}))
    world.calls.finish("c-1", RetryableError("429", retry_after_seconds=7))
    assert world.pulse("c-1") == []
    assert world.calls.open["c-1"].ask.not_before_ms >= world.now_ms + 7000

    world.calls.finish("c-1", TerminalError("401", reason="model_failed"))
    world.pulse("c-1")
    assert [letter["reason"] for letter in world.records("agent_messages_dlq")] == ["model_failed"]
    assert world.pending.everything() == {}


@pytest.mark.parametrize("restarts", [1, 2])
def test_router_restart_asks_again_for_what_was_in_flight(restarts: int) -> None:
    """After a restore the first touch of a shard asks every open question again, once."""
    world = OperatorWorld(RULES)
    for number in range(20):
        world.send(message(f"m-{number}", {"b": 1}, conversation=f"c-{number}"))
    for _ in range(restarts):
        world.restart()
        for number in range(20):
            world.pulse(f"c-{number}")
        assert set(world.calls.open) == {f"c-{number}" for number in range(20)}

    for number in range(20):
        world.calls.choose(f"c-{number}", "beta")
        world.pulse(f"c-{number}")

    assert len(world.records("agent_tasks_beta")) == 20
    assert world.pending.everything() == {}


def test_router_restart_knows_the_conversations_that_state_holds() -> None:
    """After a restore a duplicate is still one, and a new conversation still costs no read."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    world.restart()

    assert world.send(message("m-1", {"a": 1})) == []
    reads = world.conversations.reads
    world.send(message("m-2", {"a": 1}, conversation="c-new"))
    assert world.conversations.reads == reads


def test_router_no_definitions_messages_wait_until_a_manifest_is_active() -> None:
    """Before the first manifest a message is kept, not NONE, also across a restart."""
    world = OperatorWorld(Rulebook())
    assert world.send(message("m-1", {"a": 1})) == []
    world.restart()
    assert world.pulse("c-1") == []

    world.rulebook = RULES
    assert [row.topic for row in world.pulse("c-1")][-1] == "test.agent_tasks_alpha"
    assert world.pulse("c-1") == []


def test_router_time_budget_over_ends_the_conversation_once() -> None:
    """A conversation whose time is over gets its outcome with the next pulse, and its deadline is forgotten."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    world.now_ms = max(world.deadlines.everything().values())
    world.pulse("c-1")
    world.now_ms += 10_000_000
    world.pulse("c-1")
    world.pulse("c-1")

    assert [outcome["status"] for outcome in world.records("agent_outcomes")] == ["expired"]
    assert world.deadlines.everything() == {}


def test_router_outage_does_not_spend_the_time_of_conversations() -> None:
    """After an hour without the operator nothing expires at once: answers wait on the topic, agents were down as well."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    world.pulse("c-1")
    (due_ms,) = [at for key, at in world.deadlines.everything().items() if key]
    world.now_ms += 3_600_000
    world.restart()
    rows = world.pulse("c-1")

    assert rows == []
    assert world.deadlines.everything()["c-1"] == due_ms + 3_600_000
    world.restart()
    assert world.pulse("c-1") == [], "a second restart must not forget the first outage"
    world.now_ms = due_ms + 3_600_000 - 20_000
    world.pulse("c-1")
    world.now_ms = due_ms + 3_600_000
    world.pulse("c-1")
    assert [one["status"] for one in world.records("agent_outcomes")] == ["expired"]
    assert world.deadlines.everything() == {}


def test_router_outage_right_after_a_conversation_began_does_not_spend_its_time() -> None:
    """Even where nobody had the time to note that the shard is looked after."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    (due_ms,) = world.deadlines.everything().values()
    world.now_ms += 3_600_000
    world.restart()

    assert world.pulse("c-1") == []
    assert world.deadlines.everything()["c-1"] == due_ms + 3_600_000


def test_router_short_restart_moves_no_deadline() -> None:
    """A recovery of seconds costs no write per conversation."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    world.pulse("c-1")
    before = dict(world.deadlines.everything())
    writes = world.conversations.writes
    world.now_ms += 15_000
    world.restart()
    world.pulse("c-1")

    assert world.deadlines.everything()["c-1"] == before["c-1"]
    assert world.conversations.writes == writes


def test_router_deadline_after_a_restart_is_still_kept() -> None:
    """Deadlines are durable: a restart does not keep a conversation open for ever."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    world.restart()
    world.pulse("c-1")
    world.now_ms += 10_000_000
    world.pulse("c-1")

    assert [outcome["status"] for outcome in world.records("agent_outcomes")] == ["expired"]


def test_router_episode_over_while_the_model_thinks_cancels_the_call() -> None:
    """An answer nobody waits for is not paid for."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"b": 1}))
    world.now_ms += 10_000_000
    world.pulse("c-1")

    assert world.calls.cancelled == ["c-1"]
    assert world.pending.everything() == {}


def test_router_conversation_that_left_the_recent_ones_is_read_from_state() -> None:
    """More conversations in a shard than are kept decoded are still remembered, by state."""
    world = OperatorWorld(RULES)
    same_shard = [f"c-{n}" for n in range(20_000) if _shard(f"c-{n}") == _shard("c-0")]
    for number, conversation in enumerate(same_shard[: RECENT + 2]):
        world.send(message(f"m-{number}", {"a": 1}, conversation=conversation))
    world.send(message("m-0", {"a": 1}, conversation="c-0"))

    assert world.counts[-1] == "signalbox.duplicates"
    assert world.conversations.reads == 1


def test_router_forget_expired_drops_what_state_let_expire() -> None:
    """Memory forgets a conversation together with state, and reads nothing for it afterwards."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"a": 1}))
    world.conversations.shards.clear()
    world.now_ms += TTL_MS + 1
    world.restart()
    world.pulse("c-1")
    world.router.forget_expired(world.now_ms)

    assert world.send(message("m-1", {"a": 1}))[0].topic == "test.agent_decisions"


def crash_on(*kinds: type[t.Tick]) -> Reduce:
    """The reducer, with a bug at ticks of these kinds."""

    def reduce_with_bug(
        state: Conversation, tick: t.Tick, now_ms: int, rules: Rulebook
    ) -> Reduction:
        if isinstance(tick, kinds):
            msg = "bug"
            raise ZeroDivisionError(msg)
        return reduce(state, tick, now_ms, rules)

    return reduce_with_bug


@pytest.mark.parametrize(
    "kinds", [(t.MessageArrived,), (t.MessageArrived, t.DecisionCrashed)], ids=["once", "always"]
)
def test_router_reducer_raises_on_a_message_it_becomes_a_dead_letter(
    kinds: tuple[type[t.Tick], ...],
) -> None:
    """A bug of ours costs the message that met it, even when the way out has a bug as well."""
    world = OperatorWorld(RULES, reduce=crash_on(*kinds))
    world.send(message("m-1", {"a": 1}))

    (letter,) = world.records("agent_messages_dlq")
    assert letter["reason"] == "handler_failed"
    assert "ZeroDivisionError: bug" in letter["detail"]
    assert letter["message_id"] == "m-1"


@pytest.mark.parametrize(
    "kinds", [(t.ModelAnswered,), (t.ModelAnswered, t.DecisionCrashed)], ids=["once", "always"]
)
def test_router_reducer_raises_on_an_answer_the_next_message_gets_its_turn(
    kinds: tuple[type[t.Tick], ...],
) -> None:
    """The message in flight ends as a dead letter, leaves durable state, and does not block the one behind it."""
    world = OperatorWorld(RULES, reduce=crash_on(*kinds))
    world.send(message("m-1", {"b": 1}))
    world.send(message("m-2", {"a": 1}))
    world.calls.choose("c-1", "beta")
    world.pulse("c-1")

    assert [letter["message_id"] for letter in world.records("agent_messages_dlq")] == ["m-1"]
    assert len(world.records("agent_tasks_alpha")) == 1
    assert world.pending.everything() == {}


def test_router_reducer_raises_on_time_the_conversation_rests() -> None:
    """A deadline that cannot be reduced does not spin: it comes up again a minute later."""
    calls = []

    def reduce_with_bug(
        state: Conversation, tick: t.Tick, now_ms: int, rules: Rulebook
    ) -> Reduction:
        if isinstance(tick, t.TimePassed):
            calls.append(now_ms)
            msg = "bug"
            raise ZeroDivisionError(msg)
        return reduce(state, tick, now_ms, rules)

    world = OperatorWorld(RULES, reduce=reduce_with_bug)
    world.send(message("m-1", {"a": 1}))
    world.now_ms += 10_000_000
    for _ in range(3):
        world.pulse("c-1")
        world.now_ms += 500

    assert len(calls) == 1


def test_router_topic_that_is_not_ours_is_a_dead_letter_and_never_a_row() -> None:
    """A dispatch to a name that would become a foreign topic stops before the sink."""

    def reduce_to_foreign_topic(
        state: Conversation, tick: t.Tick, now_ms: int, rules: Rulebook
    ) -> Reduction:
        after, commands = reduce(state, tick, now_ms, rules)
        return after, tuple(
            c.Dispatch("../__consumer_offsets", command.task)
            if isinstance(command, c.Dispatch)
            else command
            for command in commands
        )

    world = OperatorWorld(RULES, reduce=reduce_to_foreign_topic)
    rows = world.send(message("m-1", {"a": 1}))

    assert rows[0].topic == "test.agent_messages_dlq"
    assert not [row for row in rows if "tasks" in row.topic]


def test_router_cached_answer_is_a_tick_like_any_other() -> None:
    """An answer from the cache decides on path `cache`."""
    world = OperatorWorld(RULES)
    world.send(message("m-1", {"b": 1}))
    text = '{"agent": "beta", "reason": "r", "confidence": 1.0}'
    world.calls.finish("c-1", ChatAnswer(text=text, model="fake", cached=True))
    world.pulse("c-1")

    assert world.records("agent_decisions")[0]["path"] == "cache"


def test_router_model_always_asks_even_for_one_candidate() -> None:
    """Under `model_always` the model decides although one contract accepts."""
    world = OperatorWorld(rulebook(ALPHA, BETA, engine=EnginePolicy(policy="model_always")))
    world.send(message("m-1", {"a": 1}))

    assert list(world.calls.open) == ["c-1"]


def _shard(conversation: str) -> int:
    from flink_jobs.operators.shards import shard_of

    return shard_of(conversation)


def test_fake_map_shows_one_shard_only() -> None:
    """The stand-in for keyed state hides other shards, as Flink does."""
    shard = 0
    fake: FakeMap[int] = FakeMap(lambda: shard)
    fake.put("a", 1)
    shard = 1

    assert fake.get("a") is None
