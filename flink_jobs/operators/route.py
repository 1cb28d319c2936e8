"""Route: the decision operator. Messages keyed by shard meet definitions by broadcast; rows for the sink come out.

This module is Flink's side of it: state descriptors, timers, metrics. What happens to a message is in `router.py`.
A finished model call leaves with the next element of its shard or with a processing-time timer, armed only while the shard is busy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.common import Duration, Row, Time, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, StateTtlConfig

from connectors.caching_model import CachingChatModel
from connectors.models import chat_model_from
from flink_jobs.operators.clock import now_ms
from flink_jobs.operators.definitions import Definitions
from flink_jobs.operators.interpreter import settle_interpreter
from flink_jobs.operators.keyed_store import KeyedStore
from flink_jobs.operators.metrics import Metrics
from flink_jobs.operators.model_calls import ModelCalls
from flink_jobs.operators.output import flink_row
from flink_jobs.operators.router import Router
from flink_jobs.operators.rows import OutputRow, Rows
from flink_jobs.operators.tick_reducer import TickReducer
from signalbox import topics
from signalbox.contracts.envelope import Envelope
from signalbox.engine import engine_policy
from signalbox.routing.reduce import reduce
from signalbox.routing.ticks import Origin
from signalbox.settings import ModelSettings, Settings, without_secrets

BLOB = Types.PICKLED_BYTE_ARRAY()
"""Bytes in state. A primitive array would become a tuple of numbers inside the TaskManager."""

REGISTRY = MapStateDescriptor("registry", Types.STRING(), BLOB)

STATE_TTL_MS = topics.spec_of(topics.AGENT_MESSAGES).retention_ms + topics.DAY_MS
"""How long a conversation is remembered after its last message: longer than the topic keeps a duplicate of it."""

RESULTS_TTL_MS = 365 * topics.DAY_MS
"""A run drops its results when it ends. This is for what no run would ever drop: twelve times as long as an approval may take."""

CACHED_ANSWERS = 10_000
BACK_PRESSURE_SECONDS = 0.005
FORGET_INTERVAL_MS = 60 * 60 * 1000


class Route(KeyedBroadcastProcessFunction[int, Any, Any, Row]):
    """`decode.KEYED_TYPE` × (registry key, record) → rows of `orchestrator_output`."""

    def __init__(self, settings: Settings) -> None:
        # This object travels in the job graph: no secret may be in it.
        self._settings = without_secrets(settings)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start the model calls; the key comes from the worker's own environment."""
        settings = self._settings
        model_settings = _with_secret(settings.model)
        self._calls = ModelCalls(
            lambda: CachingChatModel(
                chat_model_from(model_settings, settings.embedder), CACHED_ANSWERS
            ),
            slots=settings.model.max_in_flight,
            max_waiting=settings.routing.max_waiting,
        )
        self._calls.start()
        self._metrics = Metrics(runtime_context.get_metrics_group(), self._calls)
        self._definitions = Definitions(engine_policy(settings))
        self._router = Router(
            _keyed_store(runtime_context),
            self._calls,
            TickReducer(reduce, Rows(settings.kafka.topic_prefix)),
            count=self._metrics.count,
            state_ttl_ms=STATE_TTL_MS,
        )
        self._forget_at_ms = now_ms() + FORGET_INTERVAL_MS
        self._log = settle_interpreter()

    def close(self) -> None:
        """End the model calls; a restored job asks again for what was in flight."""
        if hasattr(self, "_calls"):
            self._calls.close()

    def process_element(
        self, value: Any, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterator[Row]:
        """Route one message, or do what a pulse is for."""
        shard, raw, topic, partition, offset, key = value
        moment_ms = now_ms()
        yield from self._touched(shard, moment_ms, ctx)
        if raw is None:
            self._on_pulse(moment_ms)
        else:
            if self._calls.is_full:
                time.sleep(BACK_PRESSURE_SECONDS)
            origin = Origin(topic, partition, offset, key)
            message = Envelope.from_json(raw)
            yield from _flink_rows(self._router.message(shard, message, origin, moment_ms))
        self._arm(shard, moment_ms, ctx)

    def process_broadcast_element(
        self, value: Any, ctx: KeyedBroadcastProcessFunction.Context
    ) -> Iterable[Row]:
        """Take one record of `agent_registry`, or who failed."""
        key, record = value
        self._definitions.take(
            key, None if record is None else bytes(record), ctx.get_broadcast_state(REGISTRY)
        )
        return ()

    def on_timer(
        self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext
    ) -> Iterator[Row]:
        """Let finished calls of a busy shard out. A generator, because Flink iterates what it returns."""
        shard: int = ctx.get_current_key()
        moment_ms = now_ms()
        yield from self._touched(shard, moment_ms, ctx)
        self._router.memory(shard).is_armed = False
        self._arm(shard, moment_ms, ctx)

    def _touched(
        self, shard: int, moment_ms: int, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterator[Row]:
        if not self._definitions.is_restored:  # to get broadcast state is dear, and once is enough
            self._definitions.restore(ctx.get_broadcast_state(REGISTRY))
        self._router.rulebook = self._definitions.rulebook
        return _flink_rows(self._router.touch(shard, moment_ms))

    def _arm(
        self, shard: int, moment_ms: int, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> None:
        memory = self._router.memory(shard)
        if not memory.is_armed and self._calls.is_busy(shard):
            memory.is_armed = True
            # All shards look at the same moments, so that their timers fire together.
            interval_ms = self._calls.interval_ms
            due_ms = (moment_ms // interval_ms + 1) * interval_ms
            ctx.timer_service().register_processing_time_timer(due_ms)

    def _on_pulse(self, moment_ms: int) -> None:
        self._metrics.update()
        if self._log is not None:
            self._log.flush()
        if moment_ms >= self._forget_at_ms:
            self._forget_at_ms = moment_ms + FORGET_INTERVAL_MS
            self._router.forget_expired(moment_ms)


def _flink_rows(rows: list[OutputRow]) -> Iterator[Row]:
    return map(flink_row, rows)


def _keyed_store(runtime_context: RuntimeContext) -> KeyedStore:
    conversations = MapStateDescriptor("conversations", Types.STRING(), BLOB)
    conversations.enable_time_to_live(_kept_for(STATE_TTL_MS))
    results = MapStateDescriptor("results", Types.STRING(), BLOB)
    results.enable_time_to_live(_kept_for(RESULTS_TTL_MS))
    return KeyedStore(
        conversations=runtime_context.get_map_state(conversations),
        pending=runtime_context.get_map_state(MapStateDescriptor("pending", Types.STRING(), BLOB)),
        deadlines=runtime_context.get_map_state(
            MapStateDescriptor("deadlines", Types.STRING(), Types.LONG())
        ),
        results=runtime_context.get_map_state(results),
    )


def _kept_for(ttl_ms: int) -> StateTtlConfig:
    """State that goes `ttl_ms` after it was last written, cleaned up in the background as Flink does by default.

    Both cleanups are asked for by name, because PyFlink's own defaults make a Java duration, and inside the TaskManager that
    starts a second JVM of 90 MB each time. The duration given instead is never looked at.
    """
    any_duration: Any = Duration
    builder = StateTtlConfig.new_builder(Time.milliseconds(ttl_ms)).disable_cleanup_in_background()
    builder = builder.cleanup_incrementally(5, run_cleanup_for_every_record=False)
    config: StateTtlConfig = builder.cleanup_in_rocksdb_compact_filter(
        1000, any_duration(None)
    ).build()
    return config


def _with_secret(model: ModelSettings) -> ModelSettings:
    return model.model_copy(update={"api_key": Settings().model.api_key})
