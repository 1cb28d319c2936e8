"""Kafka itself, behind the Protocols of `connectors.broker`; the twin is `connectors.memory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.kafka_client import common_options
from connectors.kafka_consumers import KafkaGroupConsumer, KafkaLogReader
from connectors.kafka_producers import KafkaPlainProducer, KafkaTransactionalProducer
from signalbox.kafka_settings import PLAINTEXT, KafkaSecuritySettings, KafkaSettings


class KafkaBroker:
    """Makes the clients of the Kafka at `servers` (`host:port[,…]`). Connects when a client is made, not before."""

    def __init__(self, servers: str, security: KafkaSecuritySettings = PLAINTEXT) -> None:
        self.servers = servers
        self._security = security

    @classmethod
    def of(cls, settings: KafkaSettings) -> KafkaBroker:
        """Return the Kafka that the settings name, with their security."""
        return cls(settings.servers, settings.security)

    def _common(self) -> dict[str, Any]:
        # Made anew for each client: a password that was renewed in its file counts from then on.
        return common_options(self.servers, self._security)

    def producer(self) -> KafkaPlainProducer:
        """Return a plain producer."""
        return KafkaPlainProducer(self._common())

    def transactional_producer(self, transactional_id: str) -> KafkaTransactionalProducer:
        """Return the producer of this id; older ones are fenced from now on."""
        return KafkaTransactionalProducer(self._common(), transactional_id)

    def group_consumer(
        self, group: str, topics: Sequence[str], *, instance: str | None = None
    ) -> KafkaGroupConsumer:
        """Return a member of `group`; with `instance`, the one member of that name."""
        return KafkaGroupConsumer(self._common(), group, topics, instance)

    def log_reader(self) -> KafkaLogReader:
        """Return a reader without a group."""
        return KafkaLogReader(self._common())
