"""Lead sources under test: a broker in memory whose transactions can be cut off, and a look at what readers see."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.broker import Broker, BrokerError
from connectors.lead_source import LeadRecords, LeadSource, run_source
from connectors.memory import MemoryBroker
from connectors.source_ledger import SourceLedger
from connectors.topic_reader import read_topic
from signalbox.topics import AGENT_MESSAGES_DLQ, INCOMING_LEADS, SOURCE_PROGRESS

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def records(**rename: str) -> LeadRecords:
    return LeadRecords(lambda: NOW, rename=rename)


def memory_broker() -> MemoryBroker:
    """A broker with the topics of a source."""
    broker = MemoryBroker()
    for topic in (INCOMING_LEADS, AGENT_MESSAGES_DLQ, SOURCE_PROGRESS):
        broker.create_topic(topic, 1)
    return broker


class Crash(BaseException):
    """The process ends here: nothing that follows in it runs."""


class CutLedger(SourceLedger):
    """A ledger whose process dies at its `n`-th commit, before or after the broker has it; or whose broker is away."""

    def __init__(self, broker: Broker, name: str, *, at: int, when: str) -> None:
        super().__init__(broker, name)
        self.commits = 0
        self._at = at
        self._when = when

    def commit(self, records: Any, progress: Any) -> None:
        self.commits += 1
        if self.commits == self._at and self._when == "before":
            raise Crash
        super().commit(records, progress)
        if self.commits == self._at and self._when == "after":
            raise Crash
        if self.commits == self._at and self._when == "unknown":
            msg = "no word"
            raise BrokerError(msg)


class Watch(threading.Event):
    """Stops a source once it has found nothing for `idle` waits; no wait takes time."""

    def __init__(self, idle: int = 3) -> None:
        super().__init__()
        self._left = idle

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left <= 0:
            self.set()
        return self.is_set()


def drain(source: LeadSource, ledger: SourceLedger, *, idle: int = 3) -> None:
    """Run the source until it has nothing more to say."""
    run_source(source, ledger, Watch(idle))


def leads(broker: Broker) -> list[tuple[str | None, Any]]:
    """Key and value of every lead that a reader of committed records sees."""
    return [
        (r.key_text, orjson.loads(r.value or b"null")) for r in read_topic(broker, INCOMING_LEADS)
    ]


def dead_letters(broker: Broker) -> list[Any]:
    return [orjson.loads(r.value or b"null") for r in read_topic(broker, AGENT_MESSAGES_DLQ)]
