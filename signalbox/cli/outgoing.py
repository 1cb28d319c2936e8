"""Messages that commands send in a person's name: an envelope from `cli`, judged as the job will judge it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from signalbox.cli import session
from signalbox.cli.send_lines import Line, admitted
from signalbox.contracts.envelope import Envelope
from signalbox.errors import UsageError


def new_message(kind: str, conversation: str, data: dict[str, Any]) -> Envelope:
    """Return a message of ours, from `cli`, with a new id.

    Raises:
        UsageError: `conversation` cannot be an id.
    """
    try:
        return Envelope(
            id=session.new_id("msg"),
            source="cli",
            type=kind,
            time=session.now(),
            subject=conversation,
            data=data,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"conversation {conversation!r:.80}: {first['msg']}; give an id without control characters"
        raise UsageError(msg) from None


def line_of(message: Envelope) -> Line:
    """Return the record of a message.

    Raises:
        UsageError: the job would not admit it; says why.
    """
    try:
        return admitted(1, message.model_dump(mode="json", exclude_none=True))
    except ValueError as error:
        msg = f"{error}; nothing was sent"
        raise UsageError(msg) from None
