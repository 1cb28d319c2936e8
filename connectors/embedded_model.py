"""The default model: no network, no weights. It places a text among the choices' own words and says which words did it.

It answers routing questions only; texts come from the agents' own functions. Every record of it says `embedded`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import orjson

from connectors.lexical_scorer import LexicalScorer, Placement
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.decision import NONE
from signalbox.errors import TerminalError

NAME: Final = "embedded"
_DEFAULT_NONE_BELOW: Final = 0.12
_SHOWN_WORDS: Final = 6
_INDEXES_KEPT: Final = 256


class EmbeddedChatModel:
    """Answers `{agent, reason, confidence}` from `query` and `choices`; equal questions, equal answers."""

    def __init__(self) -> None:
        self.name = NAME

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Place `request.query` among `request.choices`; takes well under a millisecond and cannot time out.

        Raises:
            TerminalError: the request has no choices; writing texts needs a real model.
        """
        if not request.choices:
            msg = (
                f"the embedded model cannot write {request.schema_name!r}: it only places texts among choices; "
                "give the prompt handler an `embedded:` function, or set SIGNALBOX_MODEL__PROVIDER to ollama or openai"
            )
            raise TerminalError(msg, reason="model_failed")
        started = time.perf_counter()
        scorer = _scorer(tuple(request.choices.items()))
        placement = scorer.place(request.query)
        agent, reason, confidence = _choose(placement, request.calibration)
        text = orjson.dumps(
            {"agent": agent, "reason": reason, "confidence": round(confidence, 4)}
        ).decode()
        return ChatAnswer(
            text=text,
            model=self.name,
            latency_ms=round((time.perf_counter() - started) * 1000),
            scores={name: round(score, 4) for name, score in placement.scores.items()},
        )

    async def close(self) -> None:
        """Nothing to close."""


@lru_cache(maxsize=_INDEXES_KEPT)
def _scorer(choices: tuple[tuple[str, tuple[str, ...]], ...]) -> LexicalScorer:
    return LexicalScorer(dict(choices))


def _choose(placement: Placement, calibration: Mapping[str, float]) -> tuple[str, str, float]:
    """Return agent or NONE, why, and a confidence in [0, 1] (of a NONE: how far below the best choice stayed)."""
    none_below = calibration.get("none_below", _DEFAULT_NONE_BELOW)
    margin = calibration.get("margin", 0.0)
    ranked = sorted(placement.scores.items(), key=lambda item: -item[1])
    best, score = ranked[0]
    shown = ", ".join(placement.matched[best][:_SHOWN_WORDS])
    if score <= 0 and any(placement.refused.values()):
        refusing = next(name for name, found in placement.refused.items() if found)
        refused = ", ".join(placement.refused[refusing][:_SHOWN_WORDS])
        return NONE, f"nobody takes it: {refusing} is not for {refused}", 1.0
    if score <= 0 or score < none_below:
        near = f"; nearest is {best} by {shown}" if shown else ""
        return NONE, f"best score {score:.2f} is below {none_below:.2f}{near}", 1 - score
    if len(ranked) > 1:
        second, runner_up = ranked[1]
        if score - runner_up <= margin:
            return NONE, f"{best} {score:.2f} and {second} {runner_up:.2f} are too close", 1 - score
    return best, f"matched {shown}; score {score:.2f}", score
