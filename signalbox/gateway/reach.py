"""Whether the broker answers, before a client is made: one that finds nobody tries for half a minute, and looks ever more seldom."""

from __future__ import annotations

from typing import Final

from connectors.broker import BrokerError
from connectors.topic_admin import complaint
from signalbox.kafka_settings import KafkaSettings

PROBE_MS: Final = 2000


def require_answer(kafka: KafkaSettings) -> None:
    """Return once the broker answered.

    Raises:
        BrokerError: it does not, within two seconds; with the reason.
    """
    reason = complaint(kafka.servers, timeout_ms=PROBE_MS, security=kafka.security)
    if reason is not None:
        msg = f"no broker answers at {kafka.servers} ({reason})"
        raise BrokerError(msg)
