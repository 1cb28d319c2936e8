"""The outcome on `agent_outcomes`: the one terminal fact of a conversation's episode."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from signalbox.contracts.record import Identifier, Record, Timestamp

OutcomeStatus = Literal[
    "completed",
    "none",
    "hop_budget",
    "token_budget",
    "expired",
    "loop",
    "failed",
    "compensated",
    "cancelled",
]


class Outcome(Record):
    """How an episode ended. `hops` counts dispatches, `tokens` those of models and handlers."""

    conversation_id: Identifier
    episode: int
    status: OutcomeStatus
    last_agent: str | None = None
    hops: int
    tokens: int
    started_at: Timestamp
    ended_at: Timestamp
    detail: Annotated[str, StringConstraints(max_length=2000)] = ""
