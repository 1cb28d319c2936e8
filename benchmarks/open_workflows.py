"""What open workflows cost the operator: bytes of keyed state each, and how long it takes until deadlines that are due were acted on.

The operator's own router over dictionaries instead of Flink's MapStates, all 64 shards in one subtask, so without what a read or
write of state costs there. Bytes are those of keys and values, as they are handed to state; a deadline is eight. What Flink
adds to an entry (key group, namespace, RocksDB's index) is not in them.

Every run has its first step answered and its second one's task open: the start, one answer, and one open task are kept. Then time
jumps to where all tasks are overdue; each is given out again (`retries: 1`), which takes two ticks and writes two records.
"""

from __future__ import annotations

import time
from typing import Any, Final, Generic, TypeVar

from benchmarks.figures import Result, quantile
from benchmarks.lab import ROOT
from flink_jobs.operators.keyed_store import KeyedStore
from flink_jobs.operators.router import Router
from flink_jobs.operators.rows import OutputRow, Rows
from flink_jobs.operators.shards import SHARD_KEYS, key_of
from flink_jobs.operators.tick_reducer import TickReducer
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import reply_id
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.ticks import Origin

SIZES: Final = (1_000, 10_000)
BYTES_EACH: Final = 10_000.0
SECONDS: Final = 2.0
_NOW_MS: Final = 1_700_000_000_000
_OVERDUE_MS: Final = 61_000
_DAY_MS: Final = 24 * 3600 * 1000
_ORIGIN: Final = Origin("agent_messages")

V = TypeVar("V")


def measure() -> Result:
    """State of open workflows at two numbers of them, and their deadlines, all due at one moment."""
    result = Result(
        "Open workflows in the operator",
        notes="The router over dictionaries, one process, no Flink: bytes of keys and values as they are handed to state. "
        "Each run has one step answered and one task open. Overdue tasks are given out again, two ticks and two records each.",
    )
    each: list[float] = []
    for number in SIZES:
        desk = Desk()
        for one in range(number):
            desk.open(f"order-{one:06}")
        each.append(desk.bytes / number)
        result.add(f"{number} open: keyed state each", each[-1], "bytes", BYTES_EACH)
        took = desk.let_deadlines_pass()
        if len(took) != number:
            msg = f"{len(took)} of {number} overdue tasks were given out again"
            raise RuntimeError(msg)
        result.add(f"{number} deadlines due at once: half acted on", quantile(took, 0.5), "s")
        result.add(f"{number} deadlines due at once: acted on", number / max(took), "/s")
        aim = SECONDS if number == SIZES[-1] else None
        result.add(f"{number} deadlines due at once: all acted on", max(took), "s", aim)
    result.add("keyed state each, the many over the few", each[-1] / each[0], "", 1.05)
    return result


class Dictionary(Generic[V]):
    """A MapState that shows the entries of the desk's current shard."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shards: dict[int, dict[str, V]] = {shard: {} for shard in SHARD_KEYS}

    def get(self, key: str) -> V | None:
        """Return the value under `key`."""
        return self._shards[self._desk.shard].get(key)

    def put(self, key: str, value: V) -> None:
        """Keep `value`."""
        self._shards[self._desk.shard][key] = value

    def remove(self, key: str) -> None:
        """Forget `key`."""
        self._shards[self._desk.shard].pop(key, None)

    def keys(self) -> list[str]:
        """Return the shard's keys."""
        return list(self._shards[self._desk.shard])

    def items(self) -> list[tuple[str, V]]:
        """Return the shard's entries."""
        return list(self._shards[self._desk.shard].items())

    @property
    def bytes(self) -> int:
        """Keys and values of all shards."""
        return sum(
            len(key.encode()) + (len(value) if isinstance(value, bytes) else 8)
            for shard in self._shards.values()
            for key, value in shard.items()
        )


class Desk:
    """One subtask that has every shard, and the shipped fleet's workflow."""

    def __init__(self) -> None:
        self.shard = 0
        self._now_ms = _NOW_MS
        self._maps: tuple[Dictionary[Any], ...] = tuple(Dictionary(self) for _ in range(4))
        conversations, pending, deadlines, results = self._maps
        self._router = Router(
            KeyedStore(conversations, pending, deadlines, results),
            _NoCalls(),
            TickReducer(reduce, Rows("")),
            count=lambda _: None,
            state_ttl_ms=8 * _DAY_MS,
        )
        fleet = load_fleet(ROOT / "agent_definitions" / "orders")
        self._router.rulebook = Rulebook(Rules.compile(ActiveSet.of([fleet]), EnginePolicy()))

    @property
    def bytes(self) -> int:
        """What state holds in all."""
        return sum(one.bytes for one in self._maps)

    def open(self, order: str) -> None:
        """Begin a run and answer its first step."""
        data = {
            "order_id": order,
            "product_id": "teapot",
            "quantity": 2,
            "amount": 3998,
            "payment_method": "card",
            "shipping_address": "1 Example Street, Exampleton",
        }
        rows = self._message(_message(f"m-{order}", "cli", "order.placed", order, data))
        (task,) = (Envelope.from_json(row.value) for row in rows if "agent_tasks" in row.topic)
        answer = {
            "order_id": order,
            "action": "reserve",
            "available": True,
            "reserved_quantity": 2,
        }
        reply = _message(
            reply_id(task.id, 0), f"agent/{task.target}", "stock.kept", order, answer, task.id
        )
        self._message(reply)

    def let_deadlines_pass(self) -> list[float]:
        """Let all tasks be overdue and look after every shard; after how many seconds of work each was given out again."""
        self._now_ms += _OVERDUE_MS
        took: list[float] = []
        started = time.process_time()
        for shard in SHARD_KEYS:
            self.shard = shard
            rows = self._router.touch(shard, self._now_ms)
            again = sum("agent_tasks" in row.topic for row in rows)
            took += [time.process_time() - started] * again
        return took

    def _message(self, message: Envelope) -> list[OutputRow]:
        self.shard = key_of(message.subject)
        rows = self._router.touch(self.shard, self._now_ms)
        return rows + self._router.message(self.shard, message, _ORIGIN, self._now_ms)


class _NoCalls:
    """No model is asked in a workflow whose agents are named."""

    def submit(self, *_: Any) -> None:
        """Refuse: nothing here asks a model."""
        msg = "a workflow asked a model"
        raise RuntimeError(msg)

    def cancel(self, *_: Any) -> None:
        """Nothing is open."""

    def collect(self, _: int) -> tuple[()]:
        """Nothing finishes."""
        return ()


def _message(
    identity: str,
    source: str,
    kind: str,
    order: str,
    data: dict[str, Any],
    cause: str | None = None,
) -> Envelope:
    return Envelope(
        id=identity,
        source=source,
        type=kind,
        time=from_epoch_ms(_NOW_MS),
        subject=order,
        causationid=cause,
        data=data,
    )
