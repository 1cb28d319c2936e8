"""Record what a model answered, replay it later without the model: JSONL, one line per question, keyed by its digest.

A recording is for tests and demonstrations. It holds prompts' digests and answers, never a key or an address.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson

from connectors.chat_model import ChatModel
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.ids import data_digest
from signalbox.errors import ConfigurationError, TerminalError


def request_digest(request: ChatRequest) -> str:
    """Return what stands for `request` in a recording: all that decides the answer, nothing that does not."""
    asked = [
        request.system,
        request.user,
        dict(request.schema),
        request.schema_name,
        request.query,
        {name: list(texts) for name, texts in request.choices.items()},
        dict(request.calibration),
    ]
    if request.images:  # recordings of questions without any stay valid
        asked.append([hashlib.sha256(image.data).hexdigest() for image in request.images])
    return data_digest(asked)


class RecordingChatModel:
    """Passes every request to `inner` and appends each answer to `path`. Failures are not recorded."""

    def __init__(self, inner: ChatModel, path: Path) -> None:
        self.name = inner.name
        self._inner = inner
        self._path = path

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """See `ChatModel.complete`. The line is written before the answer is returned."""
        answer = await self._inner.complete(request, timeout_seconds=timeout_seconds)
        line = {
            "digest": request_digest(request),
            "schema_name": request.schema_name,
            "answer": _as_json(answer),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        return answer

    async def close(self) -> None:
        """Close the inner model."""
        await self._inner.close()


class RecordedChatModel:
    """Answers from a recording; of several answers to one question, the last."""

    def __init__(self, path: Path) -> None:
        """Read `path`.

        Raises:
            ConfigurationError: the file cannot be read, or a line of it is no recorded answer.
        """
        self._path = path
        self._answers = _read(path)
        models = sorted({answer.model for answer in self._answers.values()})
        self.name = models[0] if len(models) == 1 else "recorded"

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Answer as recorded, at once.

        Raises:
            TerminalError: this question is not in the recording.
        """
        digest = request_digest(request)
        answer = self._answers.get(digest)
        if answer is None:
            msg = (
                f"{self._path} has no answer to {request.schema_name!r} with digest {digest[:16]}; "
                "the prompt or a definition has changed: record it again"
            )
            raise TerminalError(msg, reason="model_failed")
        return answer

    async def close(self) -> None:
        """Nothing to close."""


def _read(path: Path) -> dict[str, ChatAnswer]:
    answers: dict[str, ChatAnswer] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        msg = f"the recording {path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
            answers[fields["digest"]] = ChatAnswer(**fields["answer"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            msg = f"{path}:{number}: not a recorded answer ({error}); record it again"
            raise ConfigurationError(msg) from None
    return answers


def _as_json(answer: ChatAnswer) -> dict[str, Any]:
    return {
        "text": answer.text,
        "model": answer.model,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "latency_ms": answer.latency_ms,
        "scores": dict(answer.scores),
    }
