"""The consumer that exports traces: for each outcome on `agent_outcomes` the episode's spans, then the offset.

It reads what happened from the read model, which has every record of the conversation by then, and waits for it where it has not.
So nothing is kept in memory, a restart loses nothing, and whatever is exported twice has the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Final, Literal, Protocol

import structlog

from connectors.broker import (
    Broker,
    BrokerError,
    CommittedOffset,
    ConsumedRecord,
    Partition,
    RebalancedError,
)
from signalbox.cli.facts import Fact, fact_of
from signalbox.cli.trace_view import Trace, trace_of
from signalbox.contracts.outcome import Outcome
from signalbox.gateway.readmodel.queries import NotReadyError
from signalbox.topics import AGENT_OUTCOMES, full_name
from signalbox.tracing.spans import Span, spans_of

GROUP: Final = "trace_exporter"
"""Its consumer group, behind the deployment's prefix."""
_RETRY_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.5
_AT_ONCE: Final = 50
_log: Any = structlog.get_logger()


Sent = Literal["taken", "later", "refused"]
"""What became of spans: `later` they may be sent again, `refused` would be said of them each time."""


class Sink(Protocol):
    """Where spans go."""

    def send(self, spans: Iterable[Span]) -> Sent:
        """Send spans and say what became of them."""
        ...


class Exporter:
    """Follows the outcomes.

    Args:
        broker: where.
        prefix: of the topics' names.
        group_prefix: of the consumer group's.
        facts: conversation → everything that is known of it.
        read_to: partition → the offset up to which that knows it. Both raise NotReadyError while nobody can say.
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
        read_to: Callable[[Partition], int],
        sink: Sink,
        is_stopped: Callable[[], bool],
        sleep: Callable[[float], object],
    ) -> None:
        self._broker = broker
        self._prefix = prefix
        self._group = f"{group_prefix}{GROUP}"
        self._facts = facts
        self._read_to = read_to
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
        trace = self._known(fact.body, record)
        if trace is None:
            if not self._is_stopped():
                _log.warning("traces.unknown", conversation=fact.body.conversation_id)
            return not self._is_stopped()
        spans = spans_of(trace, fact.body.episode)
        while spans and (said := self._sink.send(spans)) != "taken":
            if said == "refused":
                # Others wait behind it, and would for ever.
                _log.warning("traces.refused", conversation=fact.body.conversation_id)
                return True
            _log.warning("traces.not_taken", conversation=fact.body.conversation_id)
            if self._is_stopped():
                return False
            self._sleep(_RETRY_SECONDS)
        return True

    def _known(self, outcome: Outcome, record: ConsumedRecord) -> Trace | None:
        """Return the conversation once the read model knows this outcome of it; None where it has read it and does not."""
        while not self._is_stopped():
            try:
                # Asked first: what comes between the two questions is known by the second.
                has_read = self._read_to(record.source) > record.offset
                trace = trace_of(outcome.conversation_id, self._facts(outcome.conversation_id))
            except NotReadyError:
                has_read, trace = False, None
            if trace is not None and any(
                one.episode == outcome.episode for _, one in trace.outcomes
            ):
                return trace
            if has_read:
                # Forgotten with its time, or beyond what is asked of one conversation.
                return None
            self._sleep(_LOOK_SECONDS)
        return None
