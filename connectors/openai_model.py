"""A chat model behind any OpenAI-compatible server: chat completions with `response_format` json_schema.

`strict` is not asked for, since servers differ in which schema keywords their strict mode takes; every answer is validated by
the caller anyway.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import orjson

from connectors.chat_model import usable_text
from connectors.model_errors import RequestRefusedError, pictures_refused
from connectors.model_server import ModelServer
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.image import data_uri
from signalbox.errors import RetryableError
from signalbox.settings import ModelSettings

_SEED: Final = 1
# Servers without accounts take any key, and some insist on one.
_NO_KEY: Final = "none"


class OpenAIChatModel:
    """Talks to one server. Build it anywhere, call it on one event loop."""

    def __init__(self, settings: ModelSettings, *, model: str, base_url: str) -> None:
        self.name = f"openai/{model}"
        self._model = model
        self._address = base_url
        self._max_tokens = settings.max_tokens
        key = settings.key() or _NO_KEY
        self._server = ModelServer(self.name, base_url, headers={"Authorization": f"Bearer {key}"})

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """See `ChatModel.complete`."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                body = await self._server.post("/chat/completions", self._body(request))
        except TimeoutError:
            msg = f"{self.name} did not answer within {timeout_seconds} s"
            raise RetryableError(msg) from None
        except RequestRefusedError as error:
            if not request.images:
                raise
            raise pictures_refused(self.name, error) from None
        return self._read(body, started)

    async def close(self) -> None:
        """Close idle connections."""
        await self._server.close()

    def _body(self, request: ChatRequest) -> bytes:
        body = orjson.dumps(
            {
                "model": self._model,
                "messages": [
                    {"role": "system", "content": request.system},
                    {"role": "user", "content": _content(request)},
                ],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": request.schema_name, "schema": dict(request.schema)},
                },
                "temperature": 0,
                "seed": _SEED,
                "max_tokens": self._max_tokens,
            }
        )
        # orjson keeps the room it grew by, 8 kB for a body of 1, and the body is held until the answer is there.
        return bytes(memoryview(body))

    def _read(self, body: bytes, started: float) -> ChatAnswer:
        text, finish_reason, usage = self._parse(body)
        return ChatAnswer(
            text=usable_text(
                text,
                is_cut=finish_reason == "length",
                model=self.name,
                max_tokens=self._max_tokens,
            ),
            model=self.name,
            tokens_in=_count(usage.get("prompt_tokens")),
            tokens_out=_count(usage.get("completion_tokens")),
            latency_ms=round((time.perf_counter() - started) * 1000),
        )

    def _parse(self, body: bytes) -> tuple[str, object, dict[str, Any]]:
        try:
            completion = orjson.loads(body)
            choice = completion["choices"][0]
            text, finish_reason = (
                choice["message"].get("content") or "",
                choice.get("finish_reason"),
            )
            usage = completion.get("usage") or {}
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
            msg = f"{self.name} at {self._address} answered something that is not a chat completion"
            raise RetryableError(msg) from None
        if not isinstance(text, str) or not isinstance(usage, dict):
            msg = f"{self.name} at {self._address} answered something that is not a chat completion"
            raise RetryableError(msg)
        return text, finish_reason, usage


def _content(request: ChatRequest) -> str | list[dict[str, Any]]:
    """Return the user's words, and where there are pictures the parts of both."""
    if not request.images:
        return request.user
    pictures = ({"type": "image_url", "image_url": {"url": data_uri(i)}} for i in request.images)
    return [{"type": "text", "text": request.user}, *pictures]


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
