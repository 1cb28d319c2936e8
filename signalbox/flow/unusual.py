"""Which minutes of a flow were unusual: the z-score of sql/questions/unusual_minutes.sql. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signalbox.flow.window import MINUTE_MS, Minute, Minutes

MAX_KNOWN: Final = 60
MIN_KNOWN: Final = 10
"""Against fewer minutes nothing is compared: they say little about what is usual."""
MIN_Z: Final = 3.0
"""Of a thousand minutes in which nothing is the matter, about three are so far away."""


@dataclass(frozen=True, slots=True)
class Unusual:
    """A minute of a flow that is `z` deviations away from `usual`, the mean of up to an hour of its minutes before."""

    flow: str
    minute: Minute
    usual: float
    z: float


def unusual(minutes: Minutes, begin_ms: int, end_ms: int) -> tuple[Unusual, ...]:
    """Return the unusual minutes that lie in [begin, end), the newest first, then those farthest away.

    Args:
        minutes: of each flow, those before `begin_ms` too. A minute in which nothing came is not among them and counts for nothing.
        begin_ms: earlier minutes are compared with, not judged.
        end_ms: a minute that ends later is not over: it has too few of everything.
    """
    found = [
        one
        for flow, each in minutes.items()
        for place, minute in enumerate(each)
        if begin_ms <= minute.begin_ms <= end_ms - MINUTE_MS
        and (one := _judged(flow, minute, each[max(0, place - MAX_KNOWN) : place])) is not None
    ]
    return tuple(sorted(found, key=lambda one: (-one.minute.begin_ms, -abs(one.z), one.flow)))


def _judged(flow: str, minute: Minute, before: Sequence[Minute]) -> Unusual | None:
    if len(before) < MIN_KNOWN:
        return None
    usual = sum(one.number for one in before) / len(before)
    spread = math.sqrt(sum((one.number - usual) ** 2 for one in before) / len(before))
    # What comes independently of each other varies by the root of its mean, and counts are whole: without this floor a flow
    # of 1 a minute, never more or less, would be infinitely unusual at 2.
    z = (minute.number - usual) / max(spread, math.sqrt(usual), 1.0)
    return Unusual(flow, minute, usual, z) if abs(z) >= MIN_Z else None
