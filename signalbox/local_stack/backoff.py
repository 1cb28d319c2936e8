"""How long to wait before a crashed process is started again: not at all after a good run, else longer each time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Exponential backoff. After `good_run_seconds` of running a crash is an accident: the process is started at once."""

    first_seconds: float = 1.0
    factor: float = 2.0
    most_seconds: float = 30.0
    good_run_seconds: float = 60.0
    crashes: int = 0

    def next_seconds(self, ran_seconds: float) -> float:
        """Return the wait after a crash that followed `ran_seconds` of running."""
        if ran_seconds >= self.good_run_seconds:
            self.crashes = 0
            return 0.0
        # The exponent is capped: a process that crashes for days must not overflow a float.
        wait = min(self.most_seconds, self.first_seconds * self.factor ** min(self.crashes, 32))
        self.crashes += 1
        return wait
