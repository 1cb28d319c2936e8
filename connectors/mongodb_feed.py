"""The change stream of one MongoDB collection, behind a small Protocol; pymongo fulfils it, and so does a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps, loads
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError as MongoConfigurationError,
)
from pymongo.errors import (
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from connectors.lead_source import SourceError, SourceStoppedError
from signalbox.errors import SignalboxError

AWAIT_MS: Final = 200
"""How long the server waits for a change before it says there is none; a lead waits no longer for its batch."""

_CLIENT_OPTIONS: Final = {
    # The driver's defaults are 30 s and for ever; `down` should not wait for either.
    "serverselectiontimeoutms": 10_000,
    "connecttimeoutms": 10_000,
    "sockettimeoutms": 30_000,
}
_WATCHED: Final = ("insert", "drop", "rename", "dropDatabase", "invalidate")

_HISTORY_LOST: Final = frozenset({286, 280, 136, 10334})
"""ChangeStreamHistoryLost, ChangeStreamFatalError, CappedPositionLost; BSONObjectTooLarge: the event of a document of nearly
16 MiB has no room for its document, and asking again behind the last token gives the same answer for ever."""

_NO_REPLICA_SET: Final = 40573
_REFUSED: Final = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, and what Atlas says for the latter."""


class HistoryLostError(SignalboxError):
    """The server's history no longer reaches back to the token: what was inserted in between cannot be asked for."""

    code = "SB-062"


@dataclass(frozen=True, slots=True)
class Change:
    """One event. `token` is where to go on behind it; `document` is there for inserts."""

    kind: str
    token: str
    document: Mapping[str, Any] | None = None


class ChangeFeed(Protocol):
    """A change stream. Tokens are text, in MongoDB's extended JSON."""

    def open(self, token: str | None) -> None:
        """Go on behind `token`; None: from now on.

        Raises:
            HistoryLostError: the token is too old.
            SourceError: the server is away.
            SourceStoppedError: refused, or no replica set.
        """

    def next(self) -> Change | None:
        """Return the next change, None where none came within `AWAIT_MS`. Raises as `open`."""

    def token(self) -> str | None:
        """Return where to go on behind all that was returned; it moves on while nothing is inserted, too."""

    def close(self) -> None:
        """Let go of the server."""


class MongoFeed:
    """The real thing, through pymongo, which reconnects by itself after a new primary was elected."""

    def __init__(
        self, address: str, database: str, collection: str, *, await_ms: int = AWAIT_MS
    ) -> None:
        self._await_ms = await_ms
        self._address = address
        self._database = database
        self._collection = collection
        self._client: Any = None
        self._stream: Any = None

    def open(self, token: str | None) -> None:
        """Open the stream; see `ChangeFeed.open`."""
        self.close()
        try:
            self._client = MongoClient(self._address, **_options(self._address))
            collection = self._client[self._database].get_collection(
                self._collection, codec_options=_CODEC
            )
            self._stream = collection.watch(
                [{"$match": {"operationType": {"$in": list(_WATCHED)}}}],
                # Unlike resume_after it also goes on behind an invalidation.
                start_after=None if token is None else loads(token),
                max_await_time_ms=self._await_ms,
            )
        except (PyMongoError, ValueError) as error:
            raise _translated(error) from error

    def next(self) -> Change | None:
        """Return the next change; see `ChangeFeed.next`."""
        try:
            event = self._stream.try_next()
        except PyMongoError as error:
            raise _translated(error) from error
        if event is None:
            if not self._stream.alive:
                msg = "the server closed the change stream"
                raise SourceError(msg)
            return None
        # Of the event itself, not of its batch: only that one may be gone on behind after an invalidation.
        return Change(event["operationType"], _text(event["_id"]), event.get("fullDocument"))

    def token(self) -> str | None:
        """Return the stream's own token."""
        token = None if self._stream is None else self._stream.resume_token
        return None if token is None else _text(token)

    def close(self) -> None:
        """Close stream and client."""
        client, self._client, self._stream = self._client, None, None
        if client is not None:
            client.close()


# Whatever a document holds must be readable: a date beyond year 9999 or a broken string would stop the stream for good.
_CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
    uuid_representation=UuidRepresentation.STANDARD,
)


def _options(address: str) -> dict[str, Any]:
    # What the address says wins.
    said = address.lower()
    return {
        "appname": "signalbox",
        **{name: value for name, value in _CLIENT_OPTIONS.items() if f"{name}=" not in said},
    }


def _text(token: Mapping[str, Any]) -> str:
    return dumps(token, json_options=CANONICAL_JSON_OPTIONS)


def _translated(error: Exception) -> SignalboxError:
    code = error.code if isinstance(error, OperationFailure) else None
    text = f"{type(error).__name__}: {error}"[:500]
    if code in _HISTORY_LOST or (code is not None and "resume token" in str(error).lower()):
        return HistoryLostError(text)
    if code == _NO_REPLICA_SET:
        msg = f"{text}; change streams need a replica set, one member is enough: mongod --replSet rs0, then rs.initiate()"
        return SourceStoppedError(msg)
    if code in _REFUSED:
        msg = f"{text}; the user in SIGNALBOX_MONGODB__URI needs the role read on the database"
        return SourceStoppedError(msg)
    if isinstance(error, InvalidURI | MongoConfigurationError | ValueError):
        msg = f"{type(error).__name__}; SIGNALBOX_MONGODB__URI must look like mongodb://host:27017/?replicaSet=rs0"
        return SourceStoppedError(msg)
    return SourceError(text)
