"""From a handler's result to records: a reply, a failure with its dead letter, an escalation; or another attempt.

Pure. Ids depend only on the task's id, so a task handled twice gives records that admission can tell to be the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import ValidationError

from agents.result import Escalate, HandlerResult, Reply, Retry, Terminal
from agents.serving import AgentTopics, Serving
from connectors.broker import ConsumedRecord, OutgoingRecord
from signalbox.contracts.dead_letter import DeadLetter, DeadLetterReason
from signalbox.contracts.envelope import (
    AGENT_SOURCE_PREFIX,
    TASK_ESCALATED,
    TASK_FAILED,
    TASK_STATUS,
    Envelope,
)
from signalbox.contracts.ids import reply_id
from signalbox.contracts.record import from_epoch_ms
from signalbox.topics import MAX_ADMITTED_BYTES

BACKOFF_BASE_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 60_000
MAX_DETAIL_CHARS: Final = 2_000
_STATUS_IDS_PER_ATTEMPT: Final = 1_000
MAX_STATUSES: Final = _STATUS_IDS_PER_ATTEMPT - 1
"""Of one attempt; the first is the acknowledgement's. Each is a message of its conversation, so there is an end to them."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The task is over: these records and its offset belong into one transaction."""

    records: tuple[OutgoingRecord, ...]
    is_failure: bool
    event: str
    detail: str = ""
    reason: DeadLetterReason | None = None
    """Of its dead letter, where there is one."""


@dataclass(frozen=True, slots=True)
class Again:
    """The task is tried again after `delay_ms`."""

    delay_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task, as far as its records need it. Times are ms since 1970."""

    record: ConsumedRecord
    task: Envelope
    number: int
    started_ms: int


def backoff_ms(attempt: int) -> int:
    """Return how long to wait after the `attempt`-th start failed: 1 s, 2 s, 4 s … 60 s."""
    return int(min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** min(attempt - 1, 30)))


def settle(
    serving: Serving, topics: AgentTopics, attempt: Attempt, result: HandlerResult, now_ms: int
) -> Settled | Again:
    """Decide what becomes of a task after one attempt.

    Args:
        serving: the definition that handled it.
        topics: where the records go.
        attempt: the attempt that `result` is of.
        result: what the handler answered.
        now_ms: the time now.
    """
    if isinstance(result, Reply):
        return _reply(serving, topics, attempt, result, now_ms)
    if isinstance(result, Escalate):
        message = _answer(
            serving, attempt, TASK_ESCALATED, {"reason": _cut(result.reason)}, now_ms, {}
        )
        return Settled((_to_messages(topics, message),), False, "task.escalated", result.reason)
    if isinstance(result, Terminal):
        return give_up(
            serving,
            topics,
            attempt,
            result.reason,
            result.detail,
            now_ms,
            is_permanent=result.is_permanent,
        )
    return _retry(serving, topics, attempt, result, now_ms, "handler_failed")


def give_up(
    serving: Serving,
    topics: AgentTopics,
    attempt: Attempt,
    reason: DeadLetterReason,
    detail: str,
    now_ms: int,
    *,
    is_permanent: bool = False,
) -> Settled:
    """Return the dead letter of a task and the `task.failed` that tells its conversation.

    `is_permanent`: nobody need try again.
    """
    detail = _cut(detail)
    failed = _answer(
        serving,
        attempt,
        TASK_FAILED,
        {
            "reason": reason,
            "detail": detail,
            "attempts": attempt.number,
            "permanent": is_permanent,
        },
        now_ms,
        {},
    )
    letter = _dead_letter(
        attempt.record,
        reason,
        detail,
        now_ms,
        message_id=attempt.task.id,
        conversation_id=attempt.task.subject,
        attempts=attempt.number,
    )
    records = (_to_dead_letters(topics, attempt.record, letter), _to_messages(topics, failed))
    return Settled(records, True, "task.failed", f"{reason}: {detail}", reason)


def refuse(
    topics: AgentTopics, record: ConsumedRecord, reason: DeadLetterReason, detail: str, now_ms: int
) -> Settled:
    """Return the dead letter of a record that is no task at all; there is nobody to tell."""
    letter = _dead_letter(record, reason, _cut(detail), now_ms)
    return Settled(
        (_to_dead_letters(topics, record, letter),),
        True,
        "record.refused",
        f"{reason}: {detail}",
        reason,
    )


def acknowledgement(
    serving: Serving, topics: AgentTopics, attempt: Attempt, now_ms: int
) -> OutgoingRecord:
    """Return what says that an attempt at a task begins."""
    data = {"state": "assigned", "attempt": attempt.number}
    return status_message(serving, topics, attempt, data, 0, now_ms)


def status_message(
    serving: Serving,
    topics: AgentTopics,
    attempt: Attempt,
    data: dict[str, Any],
    number: int,
    now_ms: int,
) -> OutgoingRecord:
    """Return the `number`-th status of an attempt: 1 to `MAX_STATUSES`, and 0 is the acknowledgement that it begins."""
    message = _answer(serving, attempt, TASK_STATUS, data, now_ms, {})
    # Number 0 of all is the task's one final answer, and attempts count from 1.
    slot = attempt.number * _STATUS_IDS_PER_ATTEMPT + number
    return _to_messages(topics, message.evolve(id=reply_id(attempt.task.id, slot)))


def progress(text: str, percent: float | None) -> dict[str, Any]:
    """Return the data of a status: what is being done, and how much of it is, 0 to 100."""
    data: dict[str, Any] = {"state": "working", "status": _cut(text)}
    if percent is not None and math.isfinite(percent):
        data["percent"] = min(100.0, max(0.0, percent))
    return data


def _reply(
    serving: Serving, topics: AgentTopics, attempt: Attempt, reply: Reply, now_ms: int
) -> Settled | Again:
    problem = _output_problem(serving, reply)
    if problem is None:
        extra = {
            "tokensused": max(0, reply.tokens_used),
            "replystatus": reply.status,
            "processingms": max(0, now_ms - attempt.started_ms),
        }
        data = dict(reply.data)
        message = _answer(serving, attempt, serving.definition.output.type, data, now_ms, extra)
        record = _to_messages(topics, message)
        size = len(record.value or b"")
        if size <= MAX_ADMITTED_BYTES:
            return Settled((record,), False, "task.replied")
        problem = f"the answer has {size} bytes; at most {MAX_ADMITTED_BYTES} are admitted"
    return _retry(
        serving, topics, attempt, Retry(None, problem), now_ms, "output_contract_violated"
    )


def _output_problem(serving: Serving, reply: Reply) -> str | None:
    try:
        # What goes out is what JSON makes of it, so that is what the contract judges.
        data = orjson.loads(orjson.dumps(reply.data))
    except (TypeError, ValueError) as error:
        return f"the answer is not JSON: {error}"
    if not isinstance(data, dict):
        return f"the answer is a {type(data).__name__}; an object is needed"
    violations = serving.output_contract.violations(data)
    return "; ".join(violations) if violations else None


def _retry(
    serving: Serving,
    topics: AgentTopics,
    attempt: Attempt,
    retry: Retry,
    now_ms: int,
    reason: DeadLetterReason,
) -> Settled | Again:
    if attempt.number >= serving.definition.limits.max_attempts:
        return give_up(serving, topics, attempt, reason, retry.detail, now_ms)
    wished = retry.delay_seconds
    delay_ms = backoff_ms(attempt.number) if wished is None else int(max(0.0, wished) * 1000)
    return Again(delay_ms, _cut(retry.detail))


def _answer(
    serving: Serving,
    attempt: Attempt,
    message_type: str,
    data: dict[str, Any],
    now_ms: int,
    extra: dict[str, Any],
) -> Envelope:
    task = attempt.task
    return Envelope(
        id=reply_id(task.id, 0),
        source=f"{AGENT_SOURCE_PREFIX}{serving.definition.name}",
        type=message_type,
        time=from_epoch_ms(now_ms),
        subject=task.subject,
        correlationid=task.correlationid,
        causationid=task.id,
        traceparent=task.traceparent,
        priority=task.priority,
        data=data,
        **extra,
    )


def _to_messages(topics: AgentTopics, message: Envelope) -> OutgoingRecord:
    return OutgoingRecord(
        topics.messages, message.subject.encode(), message.to_json(), message.headers()
    )


def _to_dead_letters(
    topics: AgentTopics, record: ConsumedRecord, letter: DeadLetter
) -> OutgoingRecord:
    return OutgoingRecord(topics.dead_letters, record.key, letter.to_json())


def _dead_letter(
    record: ConsumedRecord,
    reason: DeadLetterReason,
    detail: str,
    now_ms: int,
    **identity: object,
) -> DeadLetter:
    return DeadLetter.of(
        record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key_text,
        reason=reason,
        detail=detail,
        failed_at=from_epoch_ms(now_ms),
        **identity,
    )


def read_task(record: ConsumedRecord) -> Envelope | tuple[DeadLetterReason, str]:
    """Read a task record; or say, as a dead letter's reason and detail, why it is none."""
    if record.value is None:
        return "malformed_json", "the value is null; a task is a JSON object"
    try:
        envelope: Envelope = Envelope.from_json(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        is_json = first["type"] != "json_invalid"
        return (
            "invalid_envelope" if is_json else "malformed_json",
            f"{where}: {first['msg']}" if where else first["msg"],
        )
    return envelope


def _cut(text: str) -> str:
    # A lone surrogate cannot be written as UTF-8, and a handler's text may hold one.
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= MAX_DETAIL_CHARS else clean[: MAX_DETAIL_CHARS - 1] + "…"
