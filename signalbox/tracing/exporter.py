"""The consumer that exports traces: for each outcome on `agent_outcomes` the episode's spans, then the offset.

It reads what happened from the read model, which has every record of the conversation by then, and waits for it where it has not.
So nothing is kept in memory, a restart loses nothing, and whatever is exported twice has the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Final, Protocol

import structlog

from connectors.broker import Broker, BrokerError, CommittedOffset, ConsumedRecord, RebalancedError
from signalbox.cli.facts import Fact, fact_of
from signalbox.cli.trace_view import Trace, trace_of
from signalbox.contracts.outcome import Outcome
from signalbox.gateway.readmodel.queries import NotReadyError
from signalbox.topics import AGENT_OUTCOMES, full_name
from signalbox.tracing.spans import Span, spans_of

GROUP: Final = "trace_exporter"
"""Its consumer group, behind the deployment's prefix."""
READ_MODEL_SECONDS: Final = 60.0
"""How long the read model may take to know an outcome; what it does not know then, it will not: it was built without it."""
_RETRY_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.5
_AT_ONCE: Final = 50
_log: Any = structlog.get_logger()


class Sink(Protocol):
    """Where spans go."""

    def send(self, spans: Iterable[Span]) -> bool:
        """Send spans and say whether they were taken."""
        ...


class Exporter:
    """Follows the outcomes.

    Args:
        broker: where.
        prefix: of the topics' names.
        group_prefix: of the consumer group's.
        facts: conversation → everything that is known of it.
        sink: where the spans go.
        is_stopped: asked often.
        sleep: waits so many seconds; ends early when it is time to stop.
    """

    def __init__(
        self,
        broker: Broker,
        prefix: str,
        group_prefix: str,
        *,
        facts: Callable[[str], Sequence[Fact]],
        sink: Sink,
        is_stopped: Callable[[], bool],
        sleep: Callable[[float], object],
    ) -> None:
        self._broker = broker
        self._prefix = prefix
        self._group = f"{group_prefix}{GROUP}"
        self._facts = facts
        self._sink = sink
        self._is_stopped = is_stopped
        self._sleep = sleep

    def run(self) -> None:
        """Export until stopped; while the broker or the endpoint is away it is tried again.

        Delivery: at least once an episode, under the same ids.
        """
        topic = full_name(self._prefix, AGENT_OUTCOMES)
        while not self._is_stopped():
            try:
                with closing(self._broker.group_consumer(self._group, [topic])) as consumer:
                    while not self._is_stopped():
                        records = consumer.poll(timeout_seconds=_POLL_SECONDS, max_records=_AT_ONCE)
                        for record in records:
                            if not self._exported(record):
                                return
                            consumer.commit({record.source: CommittedOffset(record.offset + 1)})
            except (BrokerError, RebalancedError) as error:
                _log.warning("traces.broker", detail=str(error))
                self._sleep(_RETRY_SECONDS)

    def _exported(self, record: ConsumedRecord) -> bool:
        """Export the episode that a record ends; False where it is time to stop before."""
        fact = fact_of(record, self._prefix)
        if fact is None or not isinstance(fact.body, Outcome):
            return True  # no outcome of ours; the dead letters know of it
        trace = self._known(fact.body)
        if trace is None:
            if not self._is_stopped():
                _log.warning("traces.unknown", conversation=fact.body.conversation_id)
            return not self._is_stopped()
        spans = spans_of(trace, fact.body.episode)
        while spans and not self._sink.send(spans):
            _log.warning("traces.not_taken", conversation=fact.body.conversation_id)
            if self._is_stopped():
                return False
            self._sleep(_RETRY_SECONDS)
        return True

    def _known(self, outcome: Outcome) -> Trace | None:
        """Return the conversation once the read model knows this outcome of it."""
        waited = 0.0
        while not self._is_stopped():
            trace = self._trace(outcome.conversation_id)
            if trace is not None and any(
                one.episode == outcome.episode for _, one in trace.outcomes
            ):
                return trace
            if waited >= READ_MODEL_SECONDS:
                return None
            self._sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
        return None

    def _trace(self, conversation: str) -> Trace | None:
        try:
            return trace_of(conversation, self._facts(conversation))
        except NotReadyError:
            return None
