"""Routes the messages of one subtask: reduces ticks against keyed state and carries out the commands.

Free of Flink: keyed state, model calls and the clock come in as arguments, so tests drive it with dictionaries. A shard's state
is touched only while Flink has that shard's key set, that is inside `touch` and `message`.

Delivery: state and rows belong to one checkpoint. Model calls do not; a restored shard asks again for what was in flight.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from flink_jobs.operators.call_runner import Finished
from flink_jobs.operators.keyed_store import KeyedStore, Map, pending_key, split_pending_key
from flink_jobs.operators.rows import OutputRow
from flink_jobs.operators.shard_memory import ShardMemory
from flink_jobs.operators.tick_reducer import TickReducer
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import Envelope
from signalbox.errors import RetryableError
from signalbox.metric_names import JobMetric
from signalbox.routing import commands as c
from signalbox.routing import ticks as t
from signalbox.routing.rules import Rulebook
from signalbox.routing.state import Conversation

LOG = logging.getLogger(__name__)

ALIVE_KEY: Final = ""
"""In `deadlines`: when the shard was last known to be looked after. No conversation has an empty id."""
ALIVE_EVERY_MS: Final = 10_000
OUTAGE_MS: Final = 30_000
"""A restart that took longer than this moves every deadline: answers may wait on the topic, agents were down as well."""
OVERDUE_PAUSE_MS: Final = 60_000
"""How long a deadline rests that is still past after it was reduced, so that it cannot spin."""


_ABOUT_ONE: Final = (t.MessageReady, t.ModelAnswered, t.ModelFailed, t.DecisionCrashed)
"""Ticks that carry the message kept under their sequence."""


class Calls(Protocol):
    """What the router needs of `model_calls.ModelCalls`."""

    def submit(self, shard: int, conversation: str, ask: c.AskModel, context: bytes) -> None:
        """Ask; the result is collected with `context`, the message as JSON."""

    def cancel(self, shard: int, conversation: str, sequence: int) -> None:
        """Forget an open call."""

    def collect(self, shard: int) -> Iterable[Finished]:
        """Return what finished since the last time."""
        ...


class Router:
    """The routing of one subtask. `rulebook` is set from outside before each use."""

    def __init__(
        self,
        store: KeyedStore,
        calls: Calls,
        reducer: TickReducer,
        *,
        count: Callable[[JobMetric], None],
        state_ttl_ms: int,
    ) -> None:
        self._store = store
        self._calls = calls
        self._reducer = reducer
        self._count = count
        self._state_ttl_ms = state_ttl_ms
        self._shards: dict[int, ShardMemory] = {}
        self.rulebook = Rulebook()

    def memory(self, shard: int) -> ShardMemory:
        """Return the memory of a shard that was touched."""
        return self._shards[shard]

    def message(
        self, shard: int, message: Envelope, origin: t.Origin, now_ms: int
    ) -> list[OutputRow]:
        """Route one message; the shard was touched before."""
        self._count("signalbox.messages")
        return self._tick(shard, message.subject, t.MessageArrived(message, origin), now_ms)

    def touch(self, shard: int, now_ms: int) -> list[OutputRow]:
        """Do what is due in a shard: what a restart lost, finished calls, waiting for definitions, deadlines."""
        rows: list[OutputRow] = []
        memory = self._shards.get(shard)
        if memory is None:
            memory = self._restore(shard, now_ms)
            rows += self._resubmit(shard, memory, now_ms)
        for finished in self._calls.collect(shard):
            rows += self._tick(shard, finished.call.key.conversation, _tick_of(finished), now_ms)
        if memory.waiting_for_definitions and self.rulebook.current is not None:
            waiting, memory.waiting_for_definitions = memory.waiting_for_definitions, set()
            for conversation in waiting:
                rows += self._tick(shard, conversation, t.DefinitionsReady(), now_ms)
        for conversation in list(memory.due.take_due(now_ms)):
            rows += self._deadline(shard, memory, conversation, now_ms)
        agents, waiting_for = memory.failure_scan.portion(self.rulebook, memory.due.names)
        for conversation in waiting_for:
            rows += self._tell_of_failures(shard, memory, conversation, agents, now_ms)
        if memory.due and now_ms - memory.alive_ms >= ALIVE_EVERY_MS:
            memory.alive_ms = now_ms
            self._store.deadlines.put(ALIVE_KEY, now_ms)
        return rows

    def forget_expired(self, now_ms: int) -> None:
        """Drop from memory what keyed state has let expire; call it now and then."""
        for memory in self._shards.values():
            memory.forget_before(now_ms - self._state_ttl_ms)

    def _restore(self, shard: int, now_ms: int) -> ShardMemory:
        deadlines = dict(self._store.deadlines.items())
        alive_ms = deadlines.pop(ALIVE_KEY, 0)
        memory = self._shards[shard] = ShardMemory(
            list(self._store.conversations.keys()), deadlines, now_ms
        )
        # Not noted yet: then all that is open here began within the last pulse.
        alive_ms = alive_ms or max(
            (self._load(memory, one).started_at_ms for one in deadlines), default=0
        )
        memory.alive_ms = alive_ms
        if alive_ms and now_ms - alive_ms > OUTAGE_MS:
            for conversation in deadlines:
                state = self._load(memory, conversation)
                self._save(memory, state, state.postponed(now_ms - alive_ms), now_ms)
        return memory

    def _resubmit(self, shard: int, memory: ShardMemory, now_ms: int) -> list[OutputRow]:
        rows: list[OutputRow] = []
        for key, raw in list(self._store.pending.items()):
            conversation, sequence = split_pending_key(key)
            in_flight = self._load(memory, conversation).in_flight
            if in_flight is None:
                memory.waiting_for_definitions.add(conversation)
            elif in_flight.sequence == sequence and in_flight.phase == "deciding":
                tick = t.MessageReady(sequence, Envelope.from_json(raw))
                rows += self._tick(shard, conversation, tick, now_ms)
        return rows

    def _tell_of_failures(
        self,
        shard: int,
        memory: ShardMemory,
        conversation: str,
        agents: frozenset[str],
        now_ms: int,
    ) -> list[OutputRow]:
        """Let a conversation know of those failed `agents` that it waits for."""
        state = self._load(memory, conversation)
        waits_for = {dispatch.agent for dispatch in state.open.values()} & agents
        return [
            row
            for agent in sorted(waits_for)
            for row in self._tick(shard, conversation, t.AgentFailed(agent), now_ms)
        ]

    def _deadline(
        self, shard: int, memory: ShardMemory, conversation: str, now_ms: int
    ) -> list[OutputRow]:
        due_ms = self._load(memory, conversation).next_deadline_ms()
        rows: list[OutputRow] = []
        if due_ms is not None and due_ms <= now_ms:
            rows = self._tick(shard, conversation, t.TimePassed(), now_ms)
            due_ms = self._load(memory, conversation).next_deadline_ms()
        if due_ms is None:
            self._drop_deadline(memory, conversation)
        elif due_ms <= now_ms:
            memory.due.set(conversation, now_ms + OVERDUE_PAUSE_MS)
        else:
            self._keep(memory, conversation, due_ms, now_ms)
            self._set_deadline(memory, conversation, due_ms, now_ms)
        return rows

    def _keep(self, memory: ShardMemory, conversation: str, due_ms: int, now_ms: int) -> None:
        """Write anew what waits so long, for a person, that state would let it expire before its deadline."""
        if due_ms - now_ms > self._state_ttl_ms // 2:
            state = self._load(memory, conversation)
            self._store.conversations.put(conversation, state.encode())
            memory.remember(state, now_ms)

    def _tick(self, shard: int, conversation: str, tick: t.Tick, now_ms: int) -> list[OutputRow]:
        memory = self._shards[shard]
        before = state = self._load(memory, conversation)
        rows: list[OutputRow] = []
        ticks = deque([tick])
        while ticks:
            tick = ticks.popleft()
            reduced = self._reducer(state, tick, now_ms, self.rulebook)
            state = reduced.state
            rows += reduced.rows
            resumed = self._carry_out(shard, conversation, tick, reduced.commands)
            ticks.extendleft(reversed(resumed))
        self._save(memory, before, state, now_ms)
        return rows

    def _carry_out(
        self, shard: int, conversation: str, tick: t.Tick, commands: Sequence[c.Command]
    ) -> list[t.Tick]:
        """Carry out what is not a row, and return the ticks that follow at once."""
        stored: dict[int, Envelope] = {}
        written: dict[int, bytes] = {}
        answered: dict[int, Envelope] = {}
        resumed: list[t.Tick] = []
        for command in commands:
            match command:
                case c.StorePending(sequence, message):
                    stored[sequence], written[sequence] = message, message.to_json()
                    self._store.pending.put(pending_key(conversation, sequence), written[sequence])
                case c.DropPending(sequence):
                    self._calls.cancel(shard, conversation, sequence)
                    self._store.pending.remove(pending_key(conversation, sequence))
                case c.AskModel(sequence):
                    asked = stored.get(sequence) or self._message(conversation, sequence, tick)
                    if asked is not None:
                        # As JSON, and without the room that orjson grew by: thousands may be in flight, and an
                        # envelope takes ten times as much.
                        context = bytes(memoryview(written.get(sequence) or asked.to_json()))
                        self._calls.submit(shard, conversation, command, context)
                case c.Resume(sequence):
                    waiting = stored.get(sequence) or self._message(conversation, sequence, tick)
                    if waiting is not None:
                        resumed.append(t.MessageReady(sequence, waiting))
                case _:
                    resumed += self._results(conversation, command, answered)
                    self._count_it(command)
        return resumed

    def _results(
        self, conversation: str, command: c.Command, answered: dict[int, Envelope]
    ) -> list[t.Tick]:
        """Keep, forget or fetch what a workflow remembers. `answered` is what was kept in this same turn."""
        results = self._store.results
        match command:
            case c.StoreResult(sequence, message):
                answered[sequence] = message
                results.put(pending_key(conversation, sequence), message.to_json())
            case c.DropResults(sequences):
                for sequence in sequences:
                    results.remove(pending_key(conversation, sequence))
            case c.Recall(sequences):
                found = {
                    one: answered.get(one) or _kept(results, conversation, one, "result")
                    for one in sequences
                }
                return [t.Recalled(found)]
        return []

    def _count_it(self, command: c.Command) -> None:
        match command:
            case c.RecordDecision():
                self._count("signalbox.decisions")
            case c.EmitDeadLetter():
                self._count("signalbox.dead_letters")
            case c.PublishEvent():
                self._count("signalbox.events")
            case c.Count(name):
                self._count(name)

    def _message(self, conversation: str, sequence: int, tick: t.Tick) -> Envelope | None:
        """Return the message kept under `sequence`: the tick's own, where it is that one, else from state."""
        if isinstance(tick, _ABOUT_ONE) and tick.sequence == sequence:
            return tick.message
        return _kept(self._store.pending, conversation, sequence, "message")

    def _load(self, memory: ShardMemory, conversation: str) -> Conversation:
        state = memory.recent(conversation)
        if state is None and memory.knows(conversation):
            blob = self._store.conversations.get(conversation)
            if blob is not None:
                state = Conversation.decode(blob)
                memory.remember(state)
        return state or Conversation(id=conversation)

    def _save(
        self, memory: ShardMemory, before: Conversation, after: Conversation, now_ms: int
    ) -> None:
        if after is not before:
            self._store.conversations.put(after.id, after.encode())
            memory.remember(after, now_ms)
        if self.rulebook.current is None and after.waiting:
            memory.waiting_for_definitions.add(after.id)
        due_ms = after.next_deadline_ms()
        entered_ms = memory.due[after.id]
        if due_ms is None:
            if entered_ms is not None:
                self._drop_deadline(memory, after.id)
        elif entered_ms is None or due_ms < entered_ms:
            # An entry that is too early is put right when it comes up; so a hop costs no further write.
            self._set_deadline(memory, after.id, due_ms, now_ms)

    def _set_deadline(
        self, memory: ShardMemory, conversation: str, due_ms: int, now_ms: int
    ) -> None:
        # A deadline after state's own end is entered earlier, so that state is written anew by then.
        due_ms = min(due_ms, now_ms + self._state_ttl_ms // 3)
        memory.due.set(conversation, due_ms)
        self._store.deadlines.put(conversation, due_ms)

    def _drop_deadline(self, memory: ShardMemory, conversation: str) -> None:
        memory.due.drop(conversation)
        self._store.deadlines.remove(conversation)
        if memory.alive_ms and not memory.due:
            memory.alive_ms = 0
            self._store.deadlines.remove(ALIVE_KEY)


def _kept(store: Map[bytes], conversation: str, sequence: int, what: str) -> Envelope | None:
    raw = store.get(pending_key(conversation, sequence))
    if raw is None:
        LOG.error("conversation %s: %s %s is not in state", conversation, what, sequence)
        return None
    message: Envelope = Envelope.from_json(raw)
    return message


def _tick_of(finished: Finished) -> t.Tick:
    message: Envelope = Envelope.from_json(finished.call.context)
    sequence, result = finished.call.key.sequence, finished.result
    if isinstance(result, ChatAnswer):
        return t.ModelAnswered(sequence, message, result)
    if isinstance(result, RetryableError):
        return t.ModelFailed(
            sequence, message, str(result), retry_after_seconds=result.retry_after_seconds
        )
    return t.ModelFailed(sequence, message, str(result), is_retryable=False)
