"""What a handler answers: `HandlerResult = Reply | Retry | Terminal | Escalate`. The runner turns it into records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from signalbox.contracts.dead_letter import DeadLetterReason

ReplyStatus = Literal["success", "partial"]


@dataclass(frozen=True, slots=True)
class Reply:
    """The work is done: `data` becomes a message of the output type, once the output contract accepts it."""

    data: Mapping[str, Any]
    tokens_used: int = 0
    status: ReplyStatus = "success"


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the same task again, while attempts are left; `delay_seconds` None means the runner's own backoff."""

    delay_seconds: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Terminal:
    """The task is over: it becomes a dead letter with `reason`, and the conversation is told.

    `is_permanent`: trying again cannot help, so a workflow's step is not given out again. False where another task might succeed.
    """

    reason: DeadLetterReason
    detail: str = ""
    is_permanent: bool = True


@dataclass(frozen=True, slots=True)
class Escalate:
    """A person must decide; `reason` is what that person reads."""

    reason: str


HandlerResult = Reply | Retry | Terminal | Escalate
