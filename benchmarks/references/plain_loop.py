r"""Reference: what one would write without an engine: one process that polls, asks the model, produces, commits.

    PYTHONPATH=$PWD python benchmarks/references/plain_loop.py \
        --bootstrap-servers HOST:PORT --topic-in A --topic-out B --model-url URL/v1 [--threads 1]

With one thread a record is asked after the other; with more, each poll's records are asked together and the slowest of them
holds up the next poll. Offsets are committed behind the answers, so delivery is at least once. Runs until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import httpx
import kafka

from benchmarks.references.job import chat_request, parser

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer
_Consumer: Any = kafka.KafkaConsumer


def loop(arguments: argparse.Namespace, stopped: threading.Event) -> None:
    """Poll, ask, produce, commit, until `stopped`."""
    servers = arguments.bootstrap_servers
    consumer = _Consumer(
        arguments.topic_in,
        bootstrap_servers=servers,
        group_id=arguments.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=arguments.threads,
    )
    producer = _Producer(bootstrap_servers=servers, linger_ms=1)
    limits = httpx.Limits(max_connections=arguments.threads)
    with (
        httpx.Client(
            base_url=arguments.model_url, limits=limits, timeout=None, trust_env=False
        ) as client,
        ThreadPoolExecutor(arguments.threads) as pool,
    ):
        while not stopped.is_set():
            polled = consumer.poll(100)
            records = [record for part in polled.values() for record in part]
            values = [record.value or b"" for record in records]
            answers = pool.map(lambda value: ask(client, value), values)
            for record, answer in zip(records, answers, strict=True):
                producer.send(arguments.topic_out, key=record.key, value=answer)
            if records:
                producer.flush()
                consumer.commit()
    consumer.close()
    producer.close()


def ask(client: httpx.Client, value: bytes) -> bytes:
    """Return what the model says to one value.

    Raises:
        httpx.HTTPError: it did not answer; the loop ends.
    """
    response = client.post("/chat/completions", json=chat_request(value.decode("utf-8", "replace")))
    response.raise_for_status()
    text: str = response.json()["choices"][0]["message"]["content"]
    return text.encode()


def main() -> None:
    """Run the loop until a signal."""
    options = parser(__doc__)
    options.add_argument(
        "--threads", type=int, default=1, help="calls in flight, and records a poll"
    )
    options.add_argument("--group", default="reference_plain_loop")
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    loop(options.parse_args(), stopped)


if __name__ == "__main__":
    main()
