"""The operator without Flink: dictionaries for keyed state, a list for model calls, a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import orjson

from flink_jobs.operators.call_queue import Call, CallKey
from flink_jobs.operators.call_runner import Finished
from flink_jobs.operators.keyed_store import KeyedStore
from flink_jobs.operators.router import Router
from flink_jobs.operators.rows import OutputRow, Rows
from flink_jobs.operators.shards import key_of
from flink_jobs.operators.tick_reducer import Reduce, TickReducer
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import Envelope
from signalbox.errors import RetryableError, TerminalError
from signalbox.routing.commands import AskModel
from signalbox.routing.reduce import reduce as real_reduce
from signalbox.routing.rules import Rulebook
from signalbox.routing.ticks import Origin

V = TypeVar("V")
TTL_MS = 8 * 24 * 3600 * 1000


class FakeMap(Generic[V]):
    """A MapState that shows the entries of `world.shard` only, and counts how it was used."""

    def __init__(self, current: Callable[[], int]) -> None:
        self.shards: dict[int, dict[str, V]] = {}
        self.reads = 0
        self.writes = 0
        self._current = current

    def _here(self) -> dict[str, V]:
        return self.shards.setdefault(self._current(), {})

    def get(self, key: str) -> V | None:
        self.reads += 1
        return self._here().get(key)

    def put(self, key: str, value: V) -> None:
        self.writes += 1
        self._here()[key] = value

    def remove(self, key: str) -> None:
        self._here().pop(key, None)

    def keys(self) -> Iterable[str]:
        return self._here().keys()

    def items(self) -> Iterable[tuple[str, V]]:
        return self._here().items()

    def everything(self) -> dict[str, V]:
        """Return the entries of all shards."""
        return {key: value for shard in self.shards.values() for key, value in shard.items()}


class FakeCalls:
    """Model calls that finish when the test says so."""

    def __init__(self) -> None:
        self.open: dict[str, Call] = {}
        self.cancelled: list[str] = []
        self._finished: list[Finished] = []

    def submit(self, shard: int, conversation: str, ask: AskModel, context: bytes) -> None:
        self.open[conversation] = Call(CallKey(shard, conversation, ask.sequence), ask, 0, context)

    def cancel(self, shard: int, conversation: str, sequence: int) -> None:
        call = self.open.get(conversation)
        if call is not None and call.key.sequence == sequence:
            del self.open[conversation]
            self.cancelled.append(conversation)

    def collect(self, shard: int) -> Iterable[Finished]:
        here = [done for done in self._finished if done.call.key.shard == shard]
        self._finished = [done for done in self._finished if done.call.key.shard != shard]
        return here

    def finish(
        self, conversation: str, result: ChatAnswer | RetryableError | TerminalError
    ) -> None:
        """Let the open call of a conversation come back."""
        self._finished.append(Finished(self.open.pop(conversation), result))

    def choose(self, conversation: str, agent: str) -> None:
        """Let the model answer with `agent`."""
        text = orjson.dumps({"agent": agent, "reason": "fits", "confidence": 0.9}).decode()
        self.finish(conversation, ChatAnswer(text=text, model="fake"))


class OperatorWorld:
    """One subtask. `restart` loses its memory and its calls and keeps its keyed state."""

    def __init__(self, rulebook: Rulebook, *, reduce: Reduce = real_reduce) -> None:
        self.now_ms = 1_700_000_000_000
        self.shard = 0
        self.counts: list[str] = []
        self.conversations: FakeMap[bytes] = FakeMap(lambda: self.shard)
        self.pending: FakeMap[bytes] = FakeMap(lambda: self.shard)
        self.deadlines: FakeMap[int] = FakeMap(lambda: self.shard)
        self.results: FakeMap[bytes] = FakeMap(lambda: self.shard)
        self.rulebook = rulebook
        self._reduce = reduce
        self.rows: list[OutputRow] = []
        self.restart()

    def restart(self) -> None:
        """Start again from keyed state alone, as after a restore."""
        self.calls = FakeCalls()
        self.router = Router(
            KeyedStore(self.conversations, self.pending, self.deadlines, self.results),
            self.calls,
            TickReducer(self._reduce, Rows("test.")),
            count=self.counts.append,
            state_ttl_ms=TTL_MS,
        )

    def send(self, message: Envelope) -> list[OutputRow]:
        """Let a message reach its shard; returns and keeps what was written."""
        rows = self.pulse(message.subject)
        rows += self._keep(
            self.router.message(self.shard, message, Origin("test.agent_messages"), self.now_ms)
        )
        return rows

    def pulse(self, conversation: str) -> list[OutputRow]:
        """Let a pulse or timer reach the shard of `conversation`."""
        self.shard = key_of(conversation)
        self.router.rulebook = self.rulebook
        return self._keep(self.router.touch(self.shard, self.now_ms))

    def records(self, topic: str) -> list[Any]:
        """Return the values written to `test.<topic>`, parsed."""
        return [orjson.loads(row.value) for row in self.rows if row.topic == f"test.{topic}"]

    def _keep(self, rows: list[OutputRow]) -> list[OutputRow]:
        self.rows += rows
        return list(rows)
