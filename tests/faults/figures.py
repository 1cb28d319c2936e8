"""Figures of a fault run, read from the decisions on the topic."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from datetime import datetime

from tests.faults.history import Stored


def decided_ms(records: Iterable[Stored], run: str) -> list[int]:
    """When the messages of a run were decided, ms since 1970, sorted."""
    found = []
    for record in records:
        if record.topic == "agent_decisions" and run.encode() in (record.value or b""):
            at = datetime.fromisoformat(json.loads(record.value or b"")["decided_at"])
            found.append(round(at.timestamp() * 1000))
    return sorted(found)


def stall_seconds(records: Iterable[Stored], run: str, since: float) -> float:
    """The longest time without a decision of the run from `since` (epoch seconds) on: how long recovery took."""
    times = [since * 1000, *(at for at in decided_ms(records, run) if at > since * 1000)]
    return max((b - a for a, b in itertools.pairwise(times)), default=0.0) / 1000
