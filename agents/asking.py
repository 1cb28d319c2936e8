"""Asks a chat model for JSON that fits a schema: one question, one repair attempt, every answer validated.

Used by prompt handlers and by handlers that ask for a part of their answer and do the rest in code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from agents.result import Terminal
from agents.task import Context
from agents.templates import render
from signalbox.contracts.chat import ChatRequest

EMBEDDED: Final = "embedded"
_ATTEMPTS: Final = 2

_REPAIR: Final = """{{ user }}

Your previous answer was not usable: {{ problem }}. Answer again with the required JSON only."""


Judge = Callable[[Mapping[str, Any]], Sequence[str]]
"""Says what is wrong with an answer, in words that a model can act on; nothing where it fits. Usually `Contract.violations`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model answered, with nothing wrong; the tokens are those of every attempt."""

    fields: dict[str, Any]
    tokens_used: int


def is_embedded(context: Context) -> bool:
    """Say whether there is no model that writes."""
    return context.chat_model.name.partition(":")[0] == EMBEDDED


async def ask(context: Context, request: ChatRequest, wrong: Judge) -> Asked | Terminal:
    """Ask the context's model `request`; a second time, with what is wrong, where `wrong` says that something is.

    Returns:
        The answer; `Terminal` where the second one does not fit either.

    Raises:
        RetryableError, TerminalError: what the call raised.
    """
    model, tokens_used, problem, asked = context.chat_model, 0, "", request
    for _ in range(_ATTEMPTS):
        answer = await model.complete(asked, timeout_seconds=context.model_timeout_seconds)
        tokens_used += answer.tokens_in + answer.tokens_out
        fields, problem = _read(answer.text, wrong)
        if fields is not None:
            return Asked(fields, tokens_used)
        asked = replace(request, user=render(_REPAIR, user=request.user, problem=problem))
    # What a model says another time may fit.
    return Terminal("output_contract_violated", f"{model.name}: {problem}", is_permanent=False)


def _read(text: str, wrong: Judge) -> tuple[dict[str, Any] | None, str]:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None, "it is not JSON"
    if not isinstance(fields, dict):
        return None, "it is not a JSON object"
    violations = wrong(fields)
    return (None, "; ".join(violations)) if violations else (fields, "")
