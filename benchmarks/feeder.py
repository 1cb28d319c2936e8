"""Writes envelopes to a topic at a steady rate, each in a conversation of its own, and says how fast it was.

    python benchmarks/feeder.py --servers HOST:PORT --topic T --count 60000 --rate 1000 --name run --keys a

Messages are made before the first is sent. Prints one JSON object: `seconds`, `rate` reached, `started_at`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import kafka

from signalbox.contracts.envelope import Envelope

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer

SLICES_PER_SECOND = 50


def messages(name: str, count: int, keys: str) -> list[tuple[bytes, bytes]]:
    """Return (key, value) of `count` messages; their data holds the properties named in `keys`, comma separated."""
    made = []
    for number in range(count):
        subject = f"{name}-{number}"
        envelope = Envelope(
            id=f"m-{subject}",
            source="cli",
            type="bench.message",
            time=datetime.now(UTC),
            subject=subject,
            data={"number": number, "run": name, **dict.fromkeys(keys.split(","), number)},
        )
        made.append((subject.encode(), envelope.to_json()))
    return made


def main() -> None:
    """Feed and report."""
    parser = argparse.ArgumentParser(description="Write envelopes at a steady rate.")
    parser.add_argument("--servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="a second")
    parser.add_argument("--name", required=True, help="of the conversations")
    parser.add_argument("--keys", default="b", help="properties of the data")
    options = parser.parse_args()
    made = messages(options.name, options.count, options.keys)
    producer = _Producer(bootstrap_servers=options.servers, linger_ms=5)
    started_at = time.time()
    step = max(1, int(options.rate / SLICES_PER_SECOND))
    for start in range(0, len(made), step):
        time.sleep(max(0.0, started_at + start / options.rate - time.time()))
        for key, value in made[start : start + step]:
            producer.send(options.topic, key=key, value=value)
    producer.flush()
    seconds = time.time() - started_at
    report = {"seconds": seconds, "rate": options.count / seconds, "started_at": started_at}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
