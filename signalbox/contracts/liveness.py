"""What the job's watch over heartbeats remembers of an agent, and tells the router: who failed, how busy who is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import orjson

from signalbox.contracts.record import Name, Record

LIVENESS_KEY: Final = "liveness"
"""Of the broadcast that says who failed. No key of `agent_registry` is like it."""
LOADS_KEY: Final = "loads"
"""Of the broadcast that says how busy, reliable and fast agents are. No key of `agent_registry` is like it either."""


class Standing(Record):
    """How an agent stood when that last changed. `number` counts the changes, so each is named the same if it is found twice."""

    agent: Name
    status: Literal["alive", "failed", "left"]
    number: int
    since_ms: int
    draining: bool = False


class Load(NamedTuple):
    """How an agent does, as its heartbeats say.

    Attributes:
        busy: the part of what its processes can do at once that they do now, 0 to 1.
        reliability: the part of its last tasks that it settled without giving up, 0 to 1.
        took_ms: how long its handler ran, on average of its last tasks, ms; None where it did none yet.
    """

    busy: float
    reliability: float
    took_ms: int | None


def loads_json(loads: Mapping[str, Load]) -> bytes:
    """Write how agents do: name → [busy, reliability, ms]."""
    return orjson.dumps({name: list(load) for name, load in loads.items()})


def loads_from_json(value: bytes) -> dict[str, Load]:
    """Read what `loads_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        return {name: Load(*load) for name, load in orjson.loads(value).items()}
    except (AttributeError, TypeError) as error:
        msg = "an object is needed: agent → [busy, reliability, ms]"
        raise ValueError(msg) from error


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
