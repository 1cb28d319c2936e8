"""What our Kafka producers and consumers share: errors in our own words, options, offsets in the client's types.

Every option that differs from the client's default has its reason beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from connectors.broker import (
    BrokerError,
    CommittedOffset,
    FencedError,
    Partition,
    RebalancedError,
)
from connectors.kafka_security import python_options
from signalbox.kafka_settings import PLAINTEXT, KafkaSecuritySettings

MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024 + 64 * 1024
"""Room for the largest dead letter; the topics' own limits are lower where they should be."""

_FENCED: Final = (
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.TransactionCoordinatorFencedError,
    kafka_errors.FencedInstanceIdError,
)
_REBALANCED: Final = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
)


def translated(error: BaseException) -> FencedError | RebalancedError | BrokerError:
    """Return the error of ours that says what to do about the client's `error`."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, _FENCED):
        msg = f"another process took over this transactional or instance id ({text}); end this process"
        return FencedError(msg)
    if isinstance(error, _REBALANCED):
        msg = f"the group rebalanced ({text}); poll, and commit what is still assigned"
        return RebalancedError(msg)
    msg = f"{text}; check that the broker runs and the topic exists"
    return BrokerError(msg)


@contextmanager
def errors_translated() -> Iterator[None]:
    """Raise errors of ours for what the client raises inside."""
    try:
        yield
    except (kafka_errors.KafkaError, AssertionError) as error:
        raise translated(error) from error


def common_options(servers: str, security: KafkaSecuritySettings = PLAINTEXT) -> dict[str, Any]:
    """Return what every client is made with.

    Raises:
        ConfigurationError: the password's file cannot be read.
    """
    return {
        **python_options(security),
        "bootstrap_servers": servers,
        "client_id": "signalbox",
        # A misspelt topic must be an error, never a new topic.
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


@dataclass(frozen=True, slots=True)
class KafkaMembership:
    """A snapshot of the consumer's place in its group; the broker fences stale ones (KIP-447)."""

    metadata: ConsumerGroupMetadata

    @property
    def generation(self) -> int:
        """The group's generation."""
        return int(self.metadata.generation_id)


def to_client(
    offsets: Mapping[Partition, CommittedOffset],
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return offsets in the client's own types."""
    return {
        TopicPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, -1)
        for partition, committed in offsets.items()
    }
