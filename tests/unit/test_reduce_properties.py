"""What must hold for any history: random messages, answers, failures, forgeries, restarts and changes of definitions."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.ids import reply_id
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import Rulebook
from signalbox.routing.simulation import Simulation
from signalbox.routing.state import Conversation
from signalbox.routing.ticks import TimePassed
from tests.support.fleets import agent, message, reply, rulebook

HOPS = 6
FIRST = rulebook(
    agent("left", ["x"], closed=False),
    agent("right", ["x"], closed=False, handoffs=["left"]),
    agent("maker", ["y"]),
    agent("ender", ["z"], handoffs=[]),
    policy={
        "budgets": {"hops": HOPS, "tokens": 500, "seconds": 600, "task_seconds": 60},
        "review": {"below_confidence": 0.3, "on_none": True, "deadline_seconds": 300},
        "completes_on": ["ender.done"],
        "max_episodes": 5,
    },
)
SECOND = rulebook(agent("left", ["x"]), agent("maker", ["y"]), policy={"budgets": {"hops": HOPS}})
DATA = st.sampled_from([{"x": 1}, {"x": 2}, {"y": 1}, {"z": 1}, {"q": 1}, {"x": 1, "y": 2}])
TARGET = st.sampled_from([None, None, None, "left", "left,right", "maker", "ghost"])
CONVERSATION = st.sampled_from(["c-1", "c-2"])
ANSWER = st.sampled_from(["left", "right", "NONE", "ghost", "garbage", "unsure"])
KIND = st.sampled_from(["", "", "", "task.failed", "task.status", "task.escalated"])
PICK = st.integers(0, 50)

ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 30), CONVERSATION, DATA, TARGET),
    st.tuples(st.just("answer"), CONVERSATION, ANSWER),
    st.tuples(st.just("fail"), CONVERSATION, st.booleans()),
    st.tuples(st.just("reply"), PICK, DATA, KIND, st.integers(0, 200)),
    st.tuples(st.just("forge"), PICK, DATA, CONVERSATION),
    st.tuples(
        st.just("resolve"), CONVERSATION, st.sampled_from(["left", "maker", "NONE", "ghost"])
    ),
    st.tuples(st.just("time"), st.sampled_from([1, 30, 61, 301, 601])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("definitions"), st.booleans()),
)


class History:
    """Plays actions against a simulation and remembers what was sent."""

    def __init__(self, start: Rulebook) -> None:
        self.world = Simulation(start)
        self.sent: set[str] = set()
        self.resolutions = 0

    def play(self, action: tuple) -> None:
        name, *arguments = action
        getattr(self, name)(*arguments)

    def send(self, number, conversation, data, target):
        self._send(
            message(f"{conversation}/m-{number}", data, conversation=conversation, target=target)
        )

    def answer(self, conversation, name):
        if conversation in self.world.questions:
            fields = {"agent": name, "reason": "r", "confidence": 0.1 if name == "unsure" else 0.9}
            fields["agent"] = "left" if name == "unsure" else name
            text = "{" if name == "garbage" else json.dumps(fields)
            self.world.answer(conversation, ChatAnswer(text, "stub", tokens_in=5))

    def fail(self, conversation, retryable):
        if conversation in self.world.questions:
            self.world.fail(conversation, is_retryable=retryable)

    def reply(self, pick, data, kind, tokens):
        if self.world.dispatches:
            task = self.world.dispatches[pick % len(self.world.dispatches)].task
            number = 1 if kind == "task.status" else 0
            inner = {"data": task.data, "reason": "r"} if kind == "task.escalated" else data
            self._send(
                reply(task, inner, kind=kind, id=reply_id(task.id, number), tokensused=tokens)
            )

    def forge(self, pick, data, conversation):
        if self.world.dispatches:
            task = self.world.dispatches[pick % len(self.world.dispatches)].task
            self._send(reply(task, data, source="agent/ghost", id=f"forged-{pick}"))

    def resolve(self, conversation, name):
        in_flight = self.world.state_of(conversation).in_flight
        self.resolutions += 1
        data = {"message_id": in_flight.message_id if in_flight else "?", "agent": name}
        message_id = f"resolution-{self.resolutions}"
        self._send(message(message_id, data, conversation=conversation, type="review.resolved"))

    def time(self, seconds):
        self.world.pass_time(seconds)

    def restart(self):
        self.world.restart()

    def definitions(self, second):
        rules = (SECOND if second else FIRST).current
        assert rules is not None
        self.world.activate(self.world.rulebook.activate(rules))

    def drain(self):
        """Give definitions and let every deadline pass, so that whatever can end has ended."""
        self.definitions(False)
        for _ in range(300):
            if not any(
                self.world.state_of(c).is_open or self.world.pending for c in self.world.blobs
            ):
                return
            self.world.pass_time(601)
        raise AssertionError("a conversation never ends")

    def _send(self, envelope):
        self.sent.add(envelope.id)
        self.world.send(envelope)


@settings(max_examples=400, deadline=None)
@given(st.booleans(), st.lists(ACTIONS, max_size=60))
def test_history_ends_with_every_message_in_exactly_one_place(has_definitions, actions):
    """Any history ends: nothing stays pending, each episode has one outcome, no message is both dispatched and dead."""
    history = History(FIRST if has_definitions else Rulebook())
    for action in actions:
        history.play(action)
    history.drain()
    world = history.world

    assert not world.pending
    episodes = {c: world.state_of(c).episode for c in world.blobs}
    assert Counter(o.conversation_id for o in world.outcomes) == {
        c: n for c, n in episodes.items() if n
    }
    assert len({(o.conversation_id, o.episode) for o in world.outcomes}) == len(world.outcomes)
    dispatched = {d.task.causationid for d in world.dispatches}
    dead = [d.message_id for d in world.dead_letters if d.reason != "late"]
    assert not dispatched & set(dead)
    assert len(dead) == len(set(dead)) or _only_repeated_refusals(dead)
    assert dispatched <= history.sent


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_history_never_exceeds_its_budgets_and_never_repeats_a_task(actions):
    """Hops per episode are bounded, task ids are unique, and one message has one decision per slot."""
    history = History(FIRST)
    for action in actions:
        history.play(action)
    history.drain()
    world = history.world

    assert all(o.hops <= HOPS for o in world.outcomes)
    tasks = [d.task.id for d in world.dispatches]
    assert len(tasks) == len(set(tasks))
    slots = [(d.message_id, d.slot) for d in world.decisions]
    assert len(slots) == len(set(slots))


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_dispatches_only_ever_follow_contract_and_allowlist(actions):
    """No history, and no answer of a model, brings data to an agent whose contract or allowlist refuses it."""
    history = History(FIRST)
    for action in actions:
        if action[0] != "definitions":
            history.play(action)
    world = history.world
    rules = FIRST.current
    assert rules is not None

    for dispatch in world.dispatches:
        assert rules.agents[dispatch.agent].contract.accepts(dispatch.task.data)
    senders = {reply_id(d.task.id, 0): d.agent for d in world.dispatches}
    human = {d.message_id for d in world.decisions if d.path == "human"}
    for dispatch in world.dispatches:
        sender = senders.get(dispatch.task.causationid or "")
        if sender is not None and dispatch.task.causationid not in human:
            allowed = rules.agents[sender].definition.handoffs
            assert allowed is None or dispatch.agent in allowed


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_state_survives_its_encoding(actions):
    """What a checkpoint holds is all there is: decoding an encoded state gives the same state."""
    history = History(FIRST)
    for action in actions:
        history.play(action)

    for blob in history.world.blobs.values():
        assert Conversation.decode(blob).encode() == blob


def test_tick_that_changes_nothing_returns_the_same_state():
    """A state that did not change is the same object, so that nobody writes it again."""
    world = Simulation(FIRST)
    world.send(message("m-1", {"y": 1}))
    state = world.state_of("c-1")

    after, commands = reduce(state, TimePassed(), world.now_ms, FIRST)

    assert after is state
    assert commands == ()


def _only_repeated_refusals(dead: list[str | None]) -> bool:
    # What was refused without being admitted may be refused again under the same id; that is all.
    repeated = {message_id for message_id, count in Counter(dead).items() if count > 1}
    return all(message_id and message_id.startswith("resolution-") for message_id in repeated)
