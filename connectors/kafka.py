"""Kafka itself, behind the Protocols of `connectors.broker`; the twin is `connectors.memory`."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.kafka_consumers import KafkaGroupConsumer, KafkaLogReader
from connectors.kafka_producers import KafkaPlainProducer, KafkaTransactionalProducer


class KafkaBroker:
    """Makes the clients of the Kafka at `servers` (`host:port[,…]`). Connects when a client is made, not before."""

    def __init__(self, servers: str) -> None:
        self.servers = servers

    def producer(self) -> KafkaPlainProducer:
        """Return a plain producer."""
        return KafkaPlainProducer(self.servers)

    def transactional_producer(self, transactional_id: str) -> KafkaTransactionalProducer:
        """Return the producer of this id; older ones are fenced from now on."""
        return KafkaTransactionalProducer(self.servers, transactional_id)

    def group_consumer(
        self, group: str, topics: Sequence[str], *, instance: str | None = None
    ) -> KafkaGroupConsumer:
        """Return a member of `group`; with `instance`, the one member of that name."""
        return KafkaGroupConsumer(self.servers, group, topics, instance)

    def log_reader(self) -> KafkaLogReader:
        """Return a reader without a group."""
        return KafkaLogReader(self.servers)
