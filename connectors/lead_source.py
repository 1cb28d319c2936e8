"""What every lead source is, and the one loop that runs them: read a batch, commit it with its progress, go on.

Writes `incoming_leads` and, for what cannot even be a record there, `agent_messages_dlq`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol

import structlog

from connectors.broker import OutgoingRecord
from connectors.source_ledger import Progress, SourceLedger
from signalbox.contracts.dead_letter import DeadLetter, DeadLetterReason
from signalbox.errors import RetryableError, SignalboxError
from signalbox.topics import AGENT_MESSAGES_DLQ, INCOMING_LEADS, full_name

MAX_LEAD_BYTES: Final = 512 * 1024
"""What is larger could not be written to `incoming_leads` (1 MiB with everything around it) and is refused here."""

MAX_BATCH_RECORDS: Final = 500
MAX_BATCH_BYTES: Final = 1024 * 1024
_MAX_KEY_BYTES: Final = 1024
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0


class SourceStoppedError(SignalboxError):
    """A source cannot go on by itself; a person must decide. Started again it would say the same."""

    code: ClassVar[str] = "SB-060"


class SourceError(RetryableError):
    """The outside system could not do it now; the source opens it again, from the last committed progress."""

    code = "SB-061"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction carries. `progress` is where to go on once it is committed."""

    records: Sequence[OutgoingRecord]
    progress: Progress


class LeadSource(Protocol):
    """Something that leads come from. `idle_seconds`: how long to wait after a read that found nothing."""

    idle_seconds: float

    def resume(self, progress: Progress) -> None:
        """Go on behind `progress`; empty at the very first start.

        Raises:
            SourceError: not now.
            SourceStoppedError: not without a person.
        """

    def read(self) -> Batch | None:
        """Return what comes next, None where nothing does; may wait about a second. Raises as `resume`."""

    def committed(self, batch: Batch) -> None:
        """Take note that the broker has acknowledged `batch`: only now may its origin be put away."""

    def close(self) -> None:
        """Let go of the outside system."""


@dataclass(frozen=True, slots=True)
class LeadRecords:
    """Makes records of leads. `rename` maps top-level fields of the outside to the names that agents know."""

    now: Callable[[], datetime]
    topic_prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)

    def renamed(self, lead: Mapping[str, Any]) -> dict[str, Any]:
        """Return `lead` with our names; where it has both, ours wins."""
        return {
            self.rename.get(name, name): value
            for name, value in lead.items()
            if self.rename.get(name, name) == name or self.rename[name] not in lead
        }

    def lead(self, key: str, value: bytes) -> OutgoingRecord:
        """Return the record of one lead; a value beyond 512 KiB becomes a dead letter instead."""
        if len(value) > MAX_LEAD_BYTES:
            detail = f"{len(value)} bytes; at most {MAX_LEAD_BYTES} fit onto {INCOMING_LEADS}"
            return self.refused(key, value, "payload_too_large", detail)
        topic = full_name(self.topic_prefix, INCOMING_LEADS)
        return OutgoingRecord(topic, _key_bytes(key), value)

    def refused(
        self, key: str, raw: bytes, reason: DeadLetterReason, detail: str
    ) -> OutgoingRecord:
        """Return the dead letter of what cannot be a lead."""
        dead = DeadLetter.of(
            raw,
            topic=full_name(self.topic_prefix, INCOMING_LEADS),
            key=key[:256],
            reason=reason,
            detail=detail,
            failed_at=self.now(),
        )
        topic = full_name(self.topic_prefix, AGENT_MESSAGES_DLQ)
        return OutgoingRecord(topic, _key_bytes(key), dead.to_json())


def _key_bytes(key: str) -> bytes:
    """Return a key that fits into any record; one that is cut keeps telling itself from others by its digest."""
    whole = key.encode("utf-8", "replace")
    if len(whole) <= _MAX_KEY_BYTES:
        return whole
    return whole[:_MAX_KEY_BYTES] + hashlib.sha256(whole).hexdigest().encode()


def run_source(source: LeadSource, ledger: SourceLedger, stopped: threading.Event) -> None:
    """Run `source` until `stopped`. Whatever fails for now is tried again, with growing waits up to 30 s.

    Delivery: each lead once, in the order of its source, also over crashes of this process and of the broker.

    Raises:
        FencedError: another process runs this source.
        SourceStoppedError: a person must decide.
    """
    log = structlog.get_logger()
    wait_seconds = _FIRST_WAIT_SECONDS
    try:
        while not stopped.is_set():
            try:
                source.resume(ledger.open())
                while not stopped.is_set():
                    if _step(source, ledger, log):
                        wait_seconds = _FIRST_WAIT_SECONDS
                    else:
                        stopped.wait(source.idle_seconds)
            except (RetryableError, OSError) as error:
                log.warning("source.retried", wait_seconds=wait_seconds, detail=str(error))
                stopped.wait(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
    finally:
        source.close()
        ledger.close()


def _step(source: LeadSource, ledger: SourceLedger, log: Any) -> bool:
    batch = source.read()
    if batch is None:
        return False
    ledger.commit(batch.records, batch.progress)
    source.committed(batch)
    if batch.records:
        log.info("source.sent", records=len(batch.records))
    return True
