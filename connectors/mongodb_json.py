"""BSON as JSON: what a lead's document says, in the shapes a form would have sent.

ObjectId → its 24 hex digits, dates → RFC 3339 in UTC, Decimal128 → its digits as text (a JSON number would lose some),
UUID → text, binary → base64; what is not a number in JSON (NaN, infinity) → text; every other type → MongoDB's own
extended JSON.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from bson import Decimal128, ObjectId
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.json_util import CANONICAL_JSON_OPTIONS, default

_MAX_DEPTH: Final = 200
_MAX_INTEGER: Final = 2**63


def document_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as one JSON object in UTF-8.

    Raises:
        ValueError: it nests deeper than 200 levels.
    """
    return orjson.dumps(_value(dict(document), 0))


def id_text(document_id: Any, collection: str) -> str:
    """Return a document's `_id` as the key of its lead.

    An ObjectId or a UUID is the only one of its kind anywhere; any other id only within its collection, so it is
    put behind that one's name.
    """
    if isinstance(document_id, ObjectId | UUID):
        return str(document_id)
    text = (
        document_id
        if isinstance(document_id, str)
        else orjson.dumps(_value(document_id, 0)).decode()
    )
    return f"{collection}-{text}"


def _value(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        msg = f"nests deeper than {_MAX_DEPTH} levels"
        raise ValueError(msg)
    if isinstance(value, Mapping):
        return {_text(str(name)): _value(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list):
        return [_value(member, depth + 1) for member in value]
    if isinstance(value, str):
        return _text(value)
    return _scalar(value, depth)


def _scalar(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Int64 | int):
        return int(value) if -_MAX_INTEGER <= value < _MAX_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, ObjectId | Decimal128 | UUID):
        return str(value)
    if isinstance(value, bytes) and (not isinstance(value, Binary) or value.subtype == 0):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, DatetimeMS):
        return {"$date": {"$numberLong": str(int(value))}}
    return _value(default(value, CANONICAL_JSON_OPTIONS), depth + 1)


def _text(text: str) -> str:
    # Half a surrogate pair is a Python string, but no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")
