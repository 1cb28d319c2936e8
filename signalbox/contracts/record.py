"""What every record has in common: frozen, refusing unknown fields, written as compact JSON."""

from __future__ import annotations

from datetime import MAXYEAR, UTC, datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
)

MAX_ID_CHARS: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""An agent's or fleet's name. It becomes a topic and a group, so nothing else is ever allowed."""

Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[^\x00-\x1f\x7f]+$")
]
"""An id on a topic: printable, bounded, so it can stand in a log line or a header."""


def rfc3339(moment: datetime) -> str:
    """Write `moment` in UTC with milliseconds: `2026-01-31T08:00:00.000Z`."""
    # Without its offset, which is +00:00; strftime takes four times as long, and every record has a moment or two.
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def from_epoch_ms(epoch_ms: int) -> datetime:
    """Return the UTC moment `epoch_ms` milliseconds after 1970."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def to_epoch_ms(moment: datetime) -> int:
    """Return whole milliseconds since 1970, as `rfc3339` writes them."""
    # In whole numbers: a float has the last second of the year 9999 as the first of the next, which is no date.
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _in_utc(moment: datetime) -> datetime:
    # In the first and the last year its offset may lead out of what a date can be: it could be read, and never be written.
    if 1 < moment.year < MAXYEAR:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        msg = "is not in the years 1 to 9999 of UTC"
        raise ValueError(msg) from None


Timestamp = Annotated[
    AwareDatetime, AfterValidator(_in_utc), PlainSerializer(rfc3339, when_used="json")
]


class Record(BaseModel):
    """A value on a topic. `from_json` and `to_json` are its only wire format."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @classmethod
    def from_json(cls, value: bytes | str) -> Any:
        """Parse and validate one value. Raises `pydantic.ValidationError` naming each wrong field."""
        return cls.model_validate_json(value)

    def to_json(self) -> bytes:
        """Write the record as compact UTF-8 JSON; absent optionals are left out."""
        return orjson.dumps(self.model_dump(mode="json", exclude_none=True, by_alias=True))
