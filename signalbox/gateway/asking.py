"""`POST /ask`: a message in, its outcome out. For who needs an answer now; everybody else sends an event and looks later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from signalbox.cli.ask_request import PROMPT_SUBMITTED, prompt_data, started_by
from signalbox.cli.ask_seen import PromptSeen, prompt_seen
from signalbox.cli.ask_view import as_json
from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.image import ImageError, image_of_data_uri
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.gateway.access import needs
from signalbox.gateway.body import read_model, takes
from signalbox.gateway.intake import DECISIVE_TYPES, Message, message_of
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import (
    ConflictError,
    NoOutcomeError,
    RequestError,
    TooManyRequestsError,
)
from signalbox.gateway.routing import Asker, answer
from signalbox.gateway.shapes import Answered, Question
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(tags=["messages"])
_POLL_SECONDS: Final = 0.1
MAX_WAITING: Final = 200
"""So many questions may wait at a time: each looks ten times a second and holds a connection."""


class Waiting:
    """How many wait for an answer now."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one in.

        Raises:
            TooManyRequestsError: too many wait already.
        """
        if self._count >= MAX_WAITING:
            msg = f"{self._count} questions wait for their answers"
            raise TooManyRequestsError(msg, "ask later, or send an event", retry_after_seconds=1)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


@router.post("/ask", responses={200: {"model": Answered}}, openapi_extra=takes(Question))
async def ask(request: Request, caller: Asker) -> Response:
    """Send a prompt, or a message of any type, and wait for the conversation's outcome."""
    parts = parts_of(request)
    question = await read_model(request, Question)
    _refuse_half(question)
    message = await run_in_threadpool(_message, parts, question)
    if message.type in DECISIVE_TYPES:
        needs("decide", request)
    waiting: Waiting = request.app.state.waiting
    with waiting.one_more():
        return await _outcome(request, parts, message, question.timeout_seconds)


async def _outcome(
    request: Request, parts: Parts, message: Message, timeout_seconds: float
) -> Response:
    began = time.monotonic()
    await parts.publisher.publish(message.record(parts.topic(AGENT_MESSAGES)))
    envelope: Envelope = Envelope.from_json(message.value)
    seen = 0
    while (seconds := time.monotonic() - began) < timeout_seconds:
        size = await run_in_threadpool(parts.read_model.size_of, message.conversation_id)
        if size != seen:
            seen = size
            facts = await run_in_threadpool(parts.read_model.facts, message.conversation_id)
            if (found := _answered(envelope, facts, seconds)) is not None:
                return answer(found)
        if await request.is_disconnected():
            break
        await asyncio.sleep(_POLL_SECONDS)
    msg = f"no outcome of {message.conversation_id} within {timeout_seconds:g} s"
    raise NoOutcomeError(
        msg,
        f"it goes on: look at /conversations/{message.conversation_id}",
        conversation_id=message.conversation_id,
        id=message.id,
    )


def _refuse_half(question: Question) -> None:
    """Refuse what is neither a prompt nor a message, or both."""
    is_prompt, is_message = question.prompt is not None, question.data is not None
    if is_prompt == is_message or (question.type is not None) != is_message:
        msg = "a question is either a `prompt`, or a `type` and its `data`"
        raise RequestError(msg, 'send {"prompt": "…"}, or {"type": "…", "data": {…}}')


def _message(parts: Parts, question: Question) -> Message:
    named = {"id": question.id, "subject": question.conversation}
    attributes = {key: value for key, value in named.items() if value is not None}
    if question.prompt is None:
        return message_of(
            {**attributes, "type": question.type, "data": question.data}, parts.given()
        )
    data = prompt_data(question.prompt, None)
    if question.image is not None:
        data["image"] = _picture(question.image)
    # Before anything is sent: without a workflow that takes it, nobody would answer.
    started_by(parts.definitions.view().state.active, data)
    return message_of({**attributes, "type": PROMPT_SUBMITTED, "data": data}, parts.given())


def _picture(uri: str) -> str:
    try:
        image_of_data_uri(uri)
    except ImageError as error:
        raise RequestError(str(error), "send a data URI of a png, jpeg, webp or gif") from None
    return uri


def _answered(message: Envelope, facts: Sequence[Fact], seconds: float) -> dict[str, Any] | None:
    """Return the answer once there is an outcome of what `message` began.

    Raises:
        ConflictError: it became a dead letter.
    """
    for fact in facts:
        if isinstance(fact.body, DeadLetter) and fact.body.message_id == message.id:
            msg = f"not taken up: {fact.body.reason}: {fact.body.detail}"
            raise ConflictError(msg, "see /dead-letters", reason=fact.body.reason)
    outcomes = [fact.body for fact in facts if isinstance(fact.body, Outcome)]
    # By its id: asked again it is the same message, though it says another time.
    sent = (f.at_ms for f in facts if isinstance(f.body, Envelope) and f.body.id == message.id)
    sent_ms = next(sent, to_epoch_ms(message.time))
    outcome = next((one for one in outcomes if to_epoch_ms(one.ended_at) >= sent_ms), None)
    if outcome is None:
        return None
    seen = prompt_seen(message, facts)
    told = as_json(
        PromptSeen(seen.run, outcome, None),
        conversation=message.subject,
        seconds=seconds,
        files=[],
    )
    return {
        "id": message.id,
        "conversation_id": message.subject,
        "status": outcome.status,
        "answer": told["answer"] if told["answer"] is not None else _last_said(outcome, facts),
        "seconds": told["seconds"],
        "tokens": outcome.tokens,
        "outcome": outcome.model_dump(mode="json", exclude_none=True),
        "plan": told["plan"],
    }


def _last_said(outcome: Outcome, facts: Sequence[Fact]) -> Any:
    if outcome.result is not None:
        return outcome.result
    said = [
        fact.body.data
        for fact in facts
        if isinstance(fact.body, Envelope)
        and fact.topic == AGENT_MESSAGES
        and fact.body.claimed_agent is not None
    ]
    return said[-1] if said else None
