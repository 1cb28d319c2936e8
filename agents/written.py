"""What a process's transactions came to, in numbers: records that the broker acknowledged, and commits that failed."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from agents.workload import Batch
from signalbox.contracts.dead_letter import DeadLetterReason

CommitFailure = Literal["rebalanced", "broker"]


class Written:
    """Counts from the start of the process. A dead letter counts once it is on its topic."""

    def __init__(self) -> None:
        self.records = 0
        self.commits = 0
        self.dead_letters: Counter[DeadLetterReason] = Counter()
        self.failures: Counter[CommitFailure] = Counter({"rebalanced": 0, "broker": 0})

    def add(self, batch: Batch) -> None:
        """Count a batch that was committed."""
        self.commits += 1
        self.records += len(batch.records)
        self.dead_letters.update(batch.dead_letters)
