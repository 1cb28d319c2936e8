"""What the job's watch over heartbeats remembers of an agent, and tells the router of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import orjson

from signalbox.contracts.record import Name, Record

LIVENESS_KEY: Final = "liveness"
"""Of the broadcast that says who failed. No key of `agent_registry` is like it."""


class Standing(Record):
    """How an agent stood when that last changed. `number` counts the changes, so each is named the same if it is found twice."""

    agent: Name
    status: Literal["alive", "failed", "left"]
    number: int
    since_ms: int
    draining: bool = False


def failed_json(failed: Mapping[str, int]) -> bytes:
    """Write who failed, each with since when, ms since 1970."""
    return orjson.dumps(dict(failed))


def failed_from_json(value: bytes) -> dict[str, int]:
    """Read what `failed_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    found = orjson.loads(value)
    if not isinstance(found, dict) or not all(isinstance(at, int) for at in found.values()):
        msg = "an object is needed: agent → ms since 1970"
        raise ValueError(msg)
    return found
