"""What a model answered, checked: one of the candidates or NONE, or a problem. A name is never fished out of free text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from signalbox.contracts.decision import NONE
from signalbox.routing.prompt import MAX_REASON_CHARS


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """A usable answer: `agent` is one of the candidates or NONE."""

    agent: str
    reason: str
    confidence: float


@dataclass(frozen=True, slots=True)
class UnusableAnswer:
    """Why an answer cannot be used, in words the model can act on."""

    problem: str


def parse_answer(text: str, names: Sequence[str]) -> RouteAnswer | UnusableAnswer:
    """Check `text` against the schema of `prompt.answer_schema(names)`."""
    try:
        fields: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return UnusableAnswer("it is not JSON")
    if not isinstance(fields, dict):
        return UnusableAnswer("it is not a JSON object")
    agent, reason, confidence = fields.get("agent"), fields.get("reason"), fields.get("confidence")
    if not isinstance(agent, str) or (agent != NONE and agent not in names):
        return UnusableAnswer(f"agent must be one of {', '.join([*names, NONE])}")
    if not isinstance(reason, str):
        return UnusableAnswer("reason must be a string")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return UnusableAnswer("confidence must be a number between 0 and 1")
    if not 0 <= confidence <= 1:
        return UnusableAnswer(f"confidence must be between 0 and 1, it was {confidence}")
    return RouteAnswer(agent, reason[:MAX_REASON_CHARS], float(confidence))
