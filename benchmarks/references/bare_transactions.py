"""Reference: consume, copy and commit in transactions with kafka-python, and nothing else.

    python benchmarks/references/bare_transactions.py --bootstrap-servers HOST:PORT --topic-in A --topic-out B

Delivery: exactly once between the two topics. Runs until SIGTERM.
"""

from __future__ import annotations

import argparse
from typing import Any

import kafka

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer
_Consumer: Any = kafka.KafkaConsumer

GROUP = "reference_bare_transactions"


def main() -> None:
    """Loop until the process is ended."""
    options = argparse.ArgumentParser(description="Copy a topic in transactions.")
    options.add_argument("--bootstrap-servers", required=True)
    options.add_argument("--topic-in", required=True)
    options.add_argument("--topic-out", required=True)
    arguments = options.parse_args()
    consumer = _Consumer(
        arguments.topic_in,
        bootstrap_servers=arguments.bootstrap_servers,
        group_id=GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    producer = _Producer(
        bootstrap_servers=arguments.bootstrap_servers,
        transactional_id=GROUP,
        retry_backoff_ms=2,  # the client's 100 ms would be most of a transaction
    )
    producer.init_transactions()
    while True:
        polled = consumer.poll(100)
        if not polled:
            continue
        producer.begin_transaction()
        offsets = {}
        for partition, records in polled.items():
            for record in records:
                producer.send(arguments.topic_out, key=record.key, value=record.value)
            offsets[partition] = kafka.OffsetAndMetadata(records[-1].offset + 1, "", -1)
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()


if __name__ == "__main__":
    main()
