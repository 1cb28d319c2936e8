"""Where a replay begins and ends: `earliest`, `latest`, an RFC 3339 time, or `offset:P=N,…`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from signalbox.contracts.record import to_epoch_ms
from signalbox.errors import UsageError

_OFFSETS: Final = re.compile(r"offset:(\d+=\d+(?:,\d+=\d+)*)")
_FORMS: Final = "earliest, latest, a time like 2026-01-31T08:00:00Z, or offset:0=120,3=80"


@dataclass(frozen=True, slots=True)
class Edge:
    """Earliest or latest."""

    name: Literal["earliest", "latest"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, ms since 1970; as a beginning it is part of the range, as an end it is not."""

    epoch_ms: int


@dataclass(frozen=True, slots=True)
class Offsets:
    """Partition → offset. Partitions that are not named are left out of the range."""

    of: Mapping[int, int]


Bound = Edge | Moment | Offsets


def parse_bound(text: str, option: str) -> Bound:
    """Read the value of `--from` or `--to`.

    Raises:
        UsageError: it has none of the four forms; the message lists them.
    """
    stripped = text.strip()
    if stripped in {"earliest", "latest"}:
        return Edge("earliest" if stripped == "earliest" else "latest")
    matched = _OFFSETS.fullmatch(stripped)
    if matched:
        return _offsets(matched[1], text, option)
    try:
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        msg = f"{option} {text!r} is no place on a topic; give {_FORMS}"
        raise UsageError(msg) from None
    if moment.tzinfo is None:
        msg = f"{option} {text!r} says no time zone; write {moment.isoformat()}Z for UTC, or +02:00 at its end"
        raise UsageError(msg)
    return Moment(to_epoch_ms(moment))


def _offsets(pairs: str, text: str, option: str) -> Offsets:
    found: dict[int, int] = {}
    for pair in pairs.split(","):
        number, offset = map(int, pair.split("="))
        if number in found:
            msg = f"{option} {text!r} names partition {number} twice; name it once"
            raise UsageError(msg)
        found[number] = offset
    return Offsets(found)


@dataclass(frozen=True, slots=True)
class Extent:
    """What a topic holds: partition → (oldest offset, offset after the newest)."""

    of: Mapping[int, tuple[int, int]]

    @property
    def is_empty(self) -> bool:
        """Whether no partition holds a record."""
        return all(begin >= end for begin, end in self.of.values())


def check_offsets(bound: Bound, extent: Extent, option: str) -> None:
    """Refuse offsets that the topic does not have.

    Raises:
        UsageError: an unknown partition, or an offset outside of what is kept.
    """
    if not isinstance(bound, Offsets):
        return
    for number, offset in bound.of.items():
        if number not in extent.of:
            known = ", ".join(map(str, sorted(extent.of)))
            msg = f"{option}: agent_messages has no partition {number}; its partitions are {known}"
            raise UsageError(msg)
        begin, end = extent.of[number]
        if not begin <= offset <= end:
            msg = (
                f"{option}: partition {number} holds the offsets {begin} to {end}, {offset} is not among them; "
                "choose one of these, or `earliest` or `latest`"
            )
            raise UsageError(msg)


def ranges(
    start: Mapping[int, int], stop: Mapping[int, int], told: tuple[str, str]
) -> dict[int, tuple[int, int]]:
    """Join where each partition begins and where it ends; partitions that only one side names are left out.

    Args:
        start: partition → first offset.
        stop: partition → offset after the last.
        told: `--from` and `--to` as they were given, for the message.

    Raises:
        UsageError: a beginning after its end, or nothing in between.
    """
    joined = {number: (start[number], stop[number]) for number in start if number in stop}
    for number, (begin, end) in joined.items():
        if begin > end:
            msg = (
                f"--from {told[0]} is after --to {told[1]} (partition {number}: offset {begin} and {end}); "
                "swap them, or choose a later end"
            )
            raise UsageError(msg)
    found = {number: (begin, end) for number, (begin, end) in joined.items() if begin < end}
    if not found:
        msg = (
            f"no message of agent_messages is between --from {told[0]} and --to {told[1]}; choose a wider range, "
            "`--from earliest --to latest` is all there is"
        )
        raise UsageError(msg)
    return found
