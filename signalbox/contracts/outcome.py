"""The outcome on `agent_outcomes`: the one terminal fact of a conversation's episode."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

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


MAX_RESULT_BYTES: Final = 64 * 1024
"""A larger result is left out, and the detail says so."""


class Outcome(Record):
    """How an episode ended. `hops` counts dispatches, `tokens` those of models and handlers.

    `result` is what a completed workflow's `result` mapping came to; ≤ 64 KiB of JSON.
    """

    conversation_id: Identifier
    episode: int
    status: OutcomeStatus
    last_agent: str | None = None
    hops: int
    tokens: int
    started_at: Timestamp
    ended_at: Timestamp
    detail: Annotated[str, StringConstraints(max_length=2000)] = ""
    result: dict[str, Any] | None = None
