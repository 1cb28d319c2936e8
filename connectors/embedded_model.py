"""The default model: no network. It places a text among the choices' own words and says what was near.

By meaning and words where an embedder is there, by words alone where none is; which of the two stands in every record:
`embedded:minilm-l6-v2`, `embedded:lexical`. It answers routing questions only; texts come from the agents' own functions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import orjson

from connectors.lexical_scorer import LexicalScorer, Placement
from connectors.matcher import Matcher
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.decision import NONE
from signalbox.definitions.specs import SemanticCalibration
from signalbox.errors import ImagesRefusedError, TerminalError
from signalbox.matching.combine import choose
from signalbox.matching.scorer import Signals

NAME: Final = "embedded"
LEXICAL: Final = "embedded:lexical"
_DEFAULT_NONE_BELOW: Final = 0.12
_SHOWN_WORDS: Final = 6
_SHOWN_CHARS: Final = 80
_INDEXES_KEPT: Final = 256


class EmbeddedChatModel:
    """Answers `{agent, reason, confidence}` from `query` and `choices`; equal questions, equal answers."""

    def __init__(self, matcher: Matcher | None = None) -> None:
        """Decide with `matcher`, or by words alone without one."""
        self.name = LEXICAL if matcher is None else f"{NAME}:{matcher.name}"
        self._matcher = matcher

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Place `request.query` among `request.choices`.

        Raises:
            TerminalError: the request has no choices; writing texts needs a real model.
            ImagesRefusedError: there is a picture in the request; words are all this model knows.
            RetryableError: the embedder is a server, and it did not answer.
        """
        if request.images:
            msg = (
                f"the embedded model sees no pictures, and {request.schema_name!r} has {len(request.images)}; "
                "set SIGNALBOX_MODEL__PROVIDER to ollama or openai, and SIGNALBOX_MODEL__NAME to a model that sees"
            )
            raise ImagesRefusedError(msg)
        if not request.choices:
            msg = (
                f"the embedded model cannot write {request.schema_name!r}: it only places texts among choices; "
                "give the prompt handler an `embedded:` function, or set SIGNALBOX_MODEL__PROVIDER to ollama or openai"
            )
            raise TerminalError(msg, reason="model_failed")
        started = time.perf_counter()
        if self._matcher is None:
            answer = _by_words(request)
        else:
            found = await self._matcher.place(
                request.query, request.choices, timeout_seconds=timeout_seconds
            )
            if found is None:
                answer = await asyncio.to_thread(_meanwhile, request)
            else:
                answer = replace(_by_meaning(found, request), model=self.name)
        return replace(answer, latency_ms=round((time.perf_counter() - started) * 1000))

    async def close(self) -> None:
        """Stop building an index."""
        if self._matcher is not None:
            self._matcher.close()


def _by_meaning(found: Signals, request: ChatRequest) -> ChatAnswer:
    calibration = SemanticCalibration.model_validate(request.calibration.get("semantic", {}))
    scores = found.combined(calibration.lexical_weight)
    choice = choose(scores, calibration)
    near = f'nearest is "{_short(found.nearest(choice.best))}" of {choice.best}'
    if choice.agent != NONE:
        said = (choice.agent, f"{near}; score {choice.score:.2f}", choice.score)
    elif not choice.score and found.refused:
        said = (NONE, f"nobody takes it: not for {', '.join(sorted(found.refused))}", 1.0)
    else:
        said = (NONE, f"{choice.why_none}; {near}", 1 - choice.score)
    return _answer(said, scores, calibration=calibration.name)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} …"


def _by_words(request: ChatRequest, *, why: str = "") -> ChatAnswer:
    placement = _lexical(tuple(request.choices.items())).place(request.query)
    agent, reason, confidence = _choose(placement, request.calibration)
    return _answer((agent, why + reason, confidence), placement.scores)


def _meanwhile(request: ChatRequest) -> ChatAnswer:
    """Decide by words while the index is being built: the record says so, and nobody keeps the answer."""
    why = f"by words, the index of {len(request.choices)} agents is being built; "
    return replace(_by_words(request, why=why), is_provisional=True)


def _answer(
    said: tuple[str, str, float], scores: Mapping[str, float], *, calibration: str | None = None
) -> ChatAnswer:
    agent, reason, confidence = said
    fields = {"agent": agent, "reason": reason, "confidence": round(confidence, 4)}
    return ChatAnswer(
        text=orjson.dumps(fields).decode(),
        model=LEXICAL,
        scores={name: round(score, 4) for name, score in scores.items()},
        calibration=calibration,
    )


@lru_cache(maxsize=_INDEXES_KEPT)
def _lexical(choices: tuple[tuple[str, tuple[str, ...]], ...]) -> LexicalScorer:
    return LexicalScorer(dict(choices))


def _choose(placement: Placement, calibration: Mapping[str, Any]) -> tuple[str, str, float]:
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
