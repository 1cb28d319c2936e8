"""The load of a fault run: what is sent, at which rate, and the senders' log. A plain kafka-python producer."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kafka

from tests.faults.verdict import Sent

_Producer: Any = kafka.KafkaProducer
DELIVERY_SECONDS = 180.0
_TOPIC = "agent_messages"


@dataclass(frozen=True)
class Outgoing:
    """One record to send; `id` is empty for bytes that are no message. `written_ms` is what a wrong clock stamps on it."""

    id: str
    conversation: str
    value: bytes | None
    written_ms: int | None = None


def message(
    run: str, number: int, data: Mapping[str, Any], *, conversation: str = "", **more: Any
) -> Outgoing:
    """A message from outside; its id says its run and number."""
    identity = f"{run}-m{number}"
    subject = conversation or f"{run}-c{number}"
    fields = {
        "specversion": "1.0",
        "id": identity,
        "source": "cli",
        "type": "lead.submitted",
        "time": datetime.now(UTC).isoformat(),
        "subject": subject,
        "data": {"n": f"{run}-{number}", **data},
        **more,
    }
    return Outgoing(identity, subject, json.dumps(fields).encode())


def mixed(run: str, seed: int, count: int, *, model_share: float = 0.5) -> Iterator[Outgoing]:
    """The usual mix by seed: contracts, models, two hops, two messages of one conversation, some ids twice."""
    chance = random.Random(f"{run}-{seed}")
    for number in range(count):
        fields = ["b"] if chance.random() < model_share else ["a", "a", "a", "o"]
        conversation = f"{run}-c{number - chance.choice((0, 0, 0, 1))}"
        one = message(run, number, {chance.choice(fields): number}, conversation=conversation)
        yield one
        if chance.random() < 0.05:
            yield one


class Sender:
    """Sends in a thread at `per_second`, retries each record under its id until the broker has it, and keeps the log."""

    def __init__(self, servers: str, outgoing: Iterable[Outgoing], *, per_second: float) -> None:
        self.sent: list[Sent] = []
        self._servers = servers
        self._outgoing = list(outgoing)
        self._per_second = per_second
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.written = 0
        self.problem: BaseException | None = None

    @property
    def count(self) -> int:
        """How many records will have been sent."""
        return len(self._outgoing)

    def start(self) -> Sender:
        """Begin."""
        self._thread.start()
        return self

    def wait_until(self, share: float) -> None:
        """Return once this share of all records was handed to the client."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        while self.written < share * self.count:
            assert time.monotonic() < deadline, f"only {self.written} of {self.count} were sent"
            time.sleep(0.01)

    def finish(self) -> list[Sent]:
        """Wait until every record is acknowledged or given up, and return the log."""
        self._thread.join(DELIVERY_SECONDS * 2)
        assert not self._thread.is_alive(), "the sender hangs"
        if self.problem is not None:
            raise self.problem
        return self.sent

    def _run(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # the test's thread raises it
            self.problem = error

    def _send_all(self) -> None:
        producer = _Producer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
            request_timeout_ms=15_000,
            max_block_ms=int(DELIVERY_SECONDS * 1000),
            metrics_enabled=False,
        )
        futures = []
        started = time.monotonic()
        for number, one in enumerate(self._outgoing):
            time.sleep(max(0.0, started + number / self._per_second - time.monotonic()))
            key = one.conversation.encode()
            sending = producer.send(_TOPIC, key=key, value=one.value, timestamp_ms=one.written_ms)
            futures.append((one, sending))
            self.written = number + 1
        producer.flush(DELIVERY_SECONDS)
        for one, future in futures:
            placed = future.get(timeout=1) if future.succeeded() else None
            place = None if placed is None else (_TOPIC, placed.partition, placed.offset)
            self.sent.append(Sent(one.id, one.conversation, place))
        producer.close(timeout=5)
