"""Fill a replay's store from the topics: the messages up to the end of the range, then what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from connectors.broker import Broker
from connectors.replay_store import Fact, ReplayStore
from connectors.topic_range import read_until
from connectors.topic_reader import read_topic
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.ids import data_digest
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review, data_given
from signalbox.replay.records import SeenMessage
from signalbox.routing.admit import decode
from signalbox.routing.ticks import Origin
from signalbox.topics import (
    AGENT_DECISIONS,
    AGENT_MESSAGES,
    AGENT_MESSAGES_DLQ,
    AGENT_OUTCOMES,
    AGENT_REVIEW,
    full_name,
)

_FACTS: Final[Mapping[str, type[Fact]]] = {
    AGENT_DECISIONS: Decision,
    AGENT_OUTCOMES: Outcome,
    AGENT_REVIEW: Review,
    AGENT_MESSAGES_DLQ: DeadLetter,
}


def fill(
    store: ReplayStore, broker: Broker, topic_prefix: str, spans: Mapping[int, tuple[int, int]]
) -> Counter[str]:
    """Read everything that a replay of `spans` of `agent_messages` needs, and seal the store.

    Returns:
        How many messages of the range are none, by the reason of their dead letter.

    Raises:
        BrokerError: the broker does not answer, or a topic is missing.
    """
    unreadable: Counter[str] = Counter()
    topic = full_name(topic_prefix, AGENT_MESSAGES)
    for record in read_until(broker, topic, {number: end for number, (_, end) in spans.items()}):
        in_range = record.offset >= spans[record.partition][0]
        origin = Origin(topic, record.partition, record.offset, record.key_text)
        decoded = decode(record.value, origin, record.timestamp_ms)
        if isinstance(decoded, DeadLetter):
            unreadable.update([decoded.reason] * in_range)
            continue
        seen = SeenMessage(
            decoded.id,
            decoded.type,
            decoded.claimed_agent,
            decoded.causationid,
            record.timestamp_ms,
            record.partition,
            record.offset,
            decoded.tokensused,
            data_digest(data_given(decoded)),
            in_range,
        )
        store.add_message(decoded.subject, seen, record.value or b"")
    for name, kind in _FACTS.items():
        for record in read_topic(broker, full_name(topic_prefix, name)):
            _add(store, kind, record.value)
    store.seal()
    return unreadable


def _add(store: ReplayStore, kind: type[Fact], value: bytes | None) -> None:
    if value is None:
        return
    try:
        fact: Fact = kind.from_json(value)
    except ValidationError:
        return  # not a record of ours
    if fact.conversation_id is not None:
        store.add_fact(fact.conversation_id, fact, value)
