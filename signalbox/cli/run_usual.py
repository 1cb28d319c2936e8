"""How long runs of a workflow usually take, by those that completed and that the topics still keep. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from signalbox.cli.demo_progress import percentile
from signalbox.cli.facts import Fact
from signalbox.cli.moments import duration, until
from signalbox.contracts.decision import Decision
from signalbox.contracts.outcome import Outcome

MIN_RUNS: Final = 5
"""Of fewer nothing is said."""
_LATE_PERCENT: Final = 90


@dataclass(frozen=True, slots=True)
class Usual:
    """Of `runs` that completed half took at most `p50_ms`, nine of ten at most `p90_ms`, by the orchestrator's clock."""

    runs: int
    p50_ms: int
    p90_ms: int

    def as_json(self) -> dict[str, int]:
        """Write it for programs."""
        return asdict(self)

    def words(self, began_ms: int, now_ms: int) -> str:
        """Say when a run that is open is expected to be through, or that it takes longer than usual."""
        due_ms = began_ms + self.p90_ms
        expected = (
            f"usually through {until(due_ms, now_ms)}"
            if due_ms >= now_ms
            else "takes longer than usual"
        )
        return f"{expected}: nine of ten of {self.runs} completed runs took at most {duration(self.p90_ms)}"


def usual(workflow: str, facts: Iterable[Fact]) -> Usual | None:
    """Return how long completed runs of `workflow` took; None of fewer than `MIN_RUNS`."""
    named = (f"workflow {workflow},", f"workflow {workflow}:")
    decided: dict[str, list[datetime]] = defaultdict(list)
    outcomes: dict[tuple[str, int], Outcome] = {}
    for fact in facts:
        match fact.body:
            case Decision(path="workflow", reason=reason) as one if reason.startswith(named):
                decided[one.conversation_id].append(one.decided_at)
            case Outcome(status="completed") as one:
                outcomes[one.conversation_id, one.episode] = one
    took_ms = sorted(
        int((one.ended_at - one.started_at).total_seconds() * 1000)
        for one in outcomes.values()
        if any(one.started_at <= at <= one.ended_at for at in decided[one.conversation_id])
    )
    p50_ms, p90_ms = percentile(took_ms, 50), percentile(took_ms, _LATE_PERCENT)
    if len(took_ms) < MIN_RUNS or p50_ms is None or p90_ms is None:
        return None
    return Usual(len(took_ms), p50_ms, p90_ms)
