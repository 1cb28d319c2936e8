"""The decision record on `agent_decisions`: which agent, or NONE, and why; one per message and slot."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from signalbox.contracts.record import Identifier, Record, Timestamp

NONE: Final = "NONE"
MAX_ANSWER_CHARS: Final = 4096

DecisionPath = Literal[
    "explicit", "contract", "cache", "model", "workflow", "subscription", "human"
]


class Candidate(Record):
    """One agent as it was weighed. `violations` are short: `report: required`."""

    agent: str
    accepted: bool
    score: float | None = None
    violations: tuple[str, ...] = ()


class Decision(Record):
    """Why message `message_id` went to `agent`. `answer` is what the model said, ≤ 4 KiB.

    `candidates` lists at most twenty agents that accept the data, the best first, then the five nearest misses; the totals
    count all of them, and are absent where nobody was weighed because the message names its target.
    """

    message_id: Identifier
    slot: str
    conversation_id: Identifier
    hop: int
    agent: str
    path: DecisionPath
    reason: Annotated[str, StringConstraints(max_length=1000)]
    candidates: tuple[Candidate, ...] = ()
    accepted_total: Annotated[int, Field(ge=0)] | None = None
    rejected_total: Annotated[int, Field(ge=0)] | None = None
    shortlist: tuple[str, ...] = ()
    """Which of the accepted candidates the model was asked of, the nearest first; empty where it was asked of all."""
    calibration: str | None = None
    """By what a scorer decided: `default`, `fitted:<rows>:<digest>` or `set:<digest>` (the fleet's `calibration`)."""
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    model: str | None = None
    prompt_digest: str | None = None
    definitions_digest: str
    answer: Annotated[str, StringConstraints(max_length=MAX_ANSWER_CHARS)] | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: int = 0
    attempts: int = 0
    cached: bool = False
    data_from: Identifier | None = None
    """The `review.resolved` message whose data the agent is given in place of this message's; None where a person edited none."""
    decided_at: Timestamp
