"""What a workflow is given to do in a fault run, by seed, and what all kinds of such work are judged by: one outcome each."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.faults.history import Stored
from tests.faults.load import Outgoing

WATCHED = 2
"""The piece whose steps place the fault; its fate leads it through all of them."""


@dataclass(frozen=True)
class Piece:
    """One message that starts a workflow, in a conversation of its own that has its name."""

    name: str
    data: dict[str, Any]
    is_doomed: bool
    """Whether it must not be completed."""


class Work(ABC):
    """The pieces of one run."""

    starts_on: ClassVar[str]
    """The type of message that the workflow starts on."""

    def __init__(self, run: str, seed: int, count: int) -> None:
        chance = random.Random(seed)
        self._run = run
        self.placed = [self._piece(f"{run}-w{number}", number, chance) for number in range(count)]

    @abstractmethod
    def _piece(self, name: str, number: int, chance: random.Random) -> Piece:
        """Make one; what is wrong with it follows from its number."""

    @abstractmethod
    def judge(self, records: Iterable[Stored], outbox: Path) -> Counter[str]:
        """Compare outcomes and effects, piece by piece; return how the pieces ended.

        Raises:
            AssertionError: a piece has not one outcome, or not the one that its fate allows, or the effects are not what it says.
        """

    @property
    def watched(self) -> str:
        """The conversation whose steps place the fault."""
        return self.placed[WATCHED].name

    def outgoing(self) -> Iterator[Outgoing]:
        """The messages that place them."""
        for piece in self.placed:
            fields = {
                "specversion": "1.0",
                "id": f"m-{piece.name}",
                "source": "cli",
                "type": self.starts_on,
                "time": datetime.now(UTC).isoformat(),
                "subject": piece.name,
                "data": piece.data,
            }
            yield Outgoing(f"m-{piece.name}", piece.name, json.dumps(fields).encode())

    def outcomes(self, records: Iterable[Stored]) -> dict[str, dict[str, Any]]:
        """The one outcome of each piece, by name.

        Raises:
            AssertionError: a piece has none, or several.
        """
        found: dict[str, list[dict[str, Any]]] = {piece.name: [] for piece in self.placed}
        for record in records:
            if record.topic == "agent_outcomes" and record.fields:
                found.get(record.fields["conversation_id"], []).append(record.fields)
        for name, ends in found.items():
            assert len(ends) == 1, f"{name} has {len(ends)} outcomes: {ends}"
        return {name: ends[0] for name, ends in found.items()}


def slots_of(records: Iterable[Stored], conversation: str) -> Counter[str]:
    """Which slots of a conversation's run were decided so far, and how often."""
    return Counter(
        record.fields["slot"]
        for record in records
        if record.topic == "agent_decisions"
        and record.fields
        and record.fields["conversation_id"] == conversation
    )
