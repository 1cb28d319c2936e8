"""What can be found in a window: from when on, how much it costs, and what to do. docs/flow-health.md has it as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Code = Literal[
    "undecided",
    "agent-silent",
    "tasks-overdue",
    "dead-letters",
    "ended-badly",
    "ended-none",
    "slow-hops",
    "questions-late",
    "unusual-minute",
]

BAD_ENDINGS: Final = frozenset({"failed", "expired", "loop", "hop_budget", "token_budget"})
"""Endings that nobody wants; `compensated` and `cancelled` are what a workflow or a person chose."""
BAD_SHARE: Final = 0.05
"""One conversation in twenty may fail before it says something about the flow instead of itself."""
NONE_SHARE: Final = 0.2
"""People write what concerns no agent; beyond one in five an agent or its description is missing."""
MIN_ENDED: Final = 5
"""A share of fewer conversations is chance."""
MIN_HOPS: Final = 20
"""p95 of fewer hops is the slowest of them."""
SLOW_MS: Final = 5_000
"""As the alert HopsSlow: one message in twenty waits longer for its task."""
SLOWER: Final = 2.0
"""So many times slower than the window before; what a busy machine alone does is less."""
MAX_UNUSUAL: Final = 3
"""A burst of one kind of message is seen in every flow behind it too."""
NOTICED_MS: Final = 1_000
"""Faster than this nobody minds that it was faster before."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding: what it means, its limit, the most points one costs, and the remedy in general."""

    means: str
    limit: str
    at_most: int
    remedy: str


KINDS: Final[dict[Code, Kind]] = {
    "undecided": Kind(
        "conversations whose last message has no record after it: no decision, task, question, outcome or dead letter",
        "none for longer than 60 s",
        40,
        "`signalbox status`: does the job run, how far is it behind? `signalbox trace ID`",
    ),
    "agent-silent": Kind(
        "open tasks of an agent that sends no heartbeat, one finding an agent",
        "none",
        25,
        "`signalbox agents list`, then its log; docs/task-life.md says what becomes of its tasks",
    ),
    "tasks-overdue": Kind(
        "open tasks past their deadline, one finding an agent",
        "none",
        20,
        "`signalbox workflows runs --stuck`, `signalbox trace ID`",
    ),
    "dead-letters": Kind(
        "dead letters of the window that nobody replayed or discarded, one finding a reason",
        "none",
        20,
        "`signalbox dlq list --reason REASON`, mend what they have in common, `signalbox dlq replay --reason REASON`",
    ),
    "ended-badly": Kind(
        "conversations that ended as failed, expired, loop, hop_budget or token_budget",
        "5 % of those that ended, of 5 or more",
        20,
        "`signalbox explain ID`, `signalbox trace ID`",
    ),
    "ended-none": Kind(
        "conversations that ended because no agent fits",
        "20 % of those that ended, of 5 or more",
        10,
        "`signalbox explain ID` says who was nearly chosen; docs/writing-agents.md",
    ),
    "slow-hops": Kind(
        "p95 from a message to its task",
        "5 s; or twice that of the window before where it is above 1 s; of 20 hops or more",
        15,
        "`signalbox trace ID`: a long decision is the model (`signalbox doctor`), a long way before it the lag (`signalbox status`)",
    ),
    "questions-late": Kind(
        "open questions to people with more than half of their time gone",
        "none",
        10,
        "`signalbox approvals list`",
    ),
    "unusual-minute": Kind(
        "the newest minute with far more or fewer than in the hour before, a finding each for the three flows farthest away",
        "3 deviations",
        5,
        "`signalbox sql ask unusual_minutes`, `signalbox trace ID`",
    ),
}
