"""A MongoDB collection as a lead source: every document that is inserted becomes a lead, once.

The resume token is committed in one transaction with the leads, on `source_progress`; see `connectors.source_ledger`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

import structlog

from connectors.broker import OutgoingRecord
from connectors.lead_source import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    Batch,
    LeadRecords,
    SourceStoppedError,
)
from connectors.mongodb_feed import Change, ChangeFeed, HistoryLostError
from connectors.mongodb_json import document_json, id_text
from connectors.source_ledger import Progress

OnHistoryLost = Literal["stop", "skip"]

_IDLE_COMMIT_SECONDS: Final = 30.0
"""So often the token is committed while no lead comes: on a busy server a collection that rests would fall out of the
history otherwise."""

_BATCH_SECONDS: Final = 0.2
"""A batch is not kept open for longer, however many changes come."""


class MongodbSource:
    """Inserts into one collection. Updates and deletions are no new leads.

    Args:
        feed: the change stream.
        collection: its name, put before ids that are unique only there.
        records: makes the records.
        on_history_lost: whether to stop, or to go on from now and say so.
        now_seconds: a monotonic clock.
    """

    idle_seconds = 0.0  # the feed waits

    def __init__(
        self,
        feed: ChangeFeed,
        collection: str,
        records: LeadRecords,
        *,
        on_history_lost: OnHistoryLost = "stop",
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._collection = collection
        self._records = records
        self._on_history_lost = on_history_lost
        self._now_seconds = now_seconds
        self._committed_token: str | None = None
        self._committed_at = 0.0
        self._log = structlog.get_logger().bind(source="mongodb", collection=collection)

    def resume(self, progress: Progress) -> None:
        """Open the stream behind the committed token; at the very first start from now on."""
        token = progress.get("token")
        self._committed_token, self._committed_at = token, self._now_seconds()
        self._open(token)

    def read(self) -> Batch | None:
        """Return the inserts that are there, or the token where it is time to keep that."""
        records: list[OutgoingRecord] = []
        token = None
        size, began = 0, self._now_seconds()
        while len(records) < MAX_BATCH_RECORDS and size < MAX_BATCH_BYTES:
            change = self._next()
            if change is None:
                break
            token = change.token
            if change.kind == "insert":
                records.append(self._record(change))
                size += len(records[-1].value or b"")
            elif self._has_ended(change):
                break
            if self._now_seconds() - began > _BATCH_SECONDS:
                break
        if token is not None:
            return Batch(records, {"token": token})
        return self._kept_token()

    def committed(self, batch: Batch) -> None:
        """Take note of the token that the broker holds."""
        self._committed_token = batch.progress["token"]
        self._committed_at = self._now_seconds()

    def close(self) -> None:
        """Close the stream."""
        self._feed.close()

    def _next(self) -> Change | None:
        try:
            return self._feed.next()
        except HistoryLostError as error:
            self._after_lost_history(error)
            return None

    def _open(self, token: str | None) -> None:
        try:
            self._feed.open(token)
        except HistoryLostError as error:
            self._after_lost_history(error)

    def _after_lost_history(self, error: HistoryLostError) -> None:
        told = f"inserts into {self._collection} since the last one that was read cannot be asked for any more: {error}"
        if self._on_history_lost == "stop":
            msg = (
                f"{told}; send what is missing through the drop folder, then start once with "
                "SIGNALBOX_MONGODB__ON_HISTORY_LOST=skip; a larger oplog keeps it from happening again"
            )
            raise SourceStoppedError(msg) from error
        self._log.error("history.skipped", detail=told)
        self._feed.open(None)
        self._committed_token = None

    def _kept_token(self) -> Batch | None:
        """Return a batch of nothing but the token: at the first start at once, later now and then."""
        token = self._feed.token()
        if token is None or token == self._committed_token:
            return None
        is_due = self._now_seconds() - self._committed_at >= _IDLE_COMMIT_SECONDS
        return Batch((), {"token": token}) if is_due or self._committed_token is None else None

    def _has_ended(self, change: Change) -> bool:
        """Say what happened to the collection; after an invalidation the stream is opened anew behind it."""
        if change.kind != "invalidate":
            detail = "its next documents are read once a collection of this name is there again"
            self._log.warning(f"collection.{change.kind}", detail=detail)
            return False
        self._open(change.token)
        return True

    def _record(self, change: Change) -> OutgoingRecord:
        document = change.document or {}
        key = id_text(document.get("_id"), self._collection)
        try:
            value = document_json(self._records.renamed(document))
        except ValueError as error:
            return self._records.refused(key, b"", "malformed_json", f"{self._collection}: {error}")
        return self._records.lead(key, value)
