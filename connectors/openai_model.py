"""A chat model behind any OpenAI-compatible server: chat completions with `response_format` json_schema.

The client's own retries are off: the caller's policy is the only one. `strict` is not asked for, since servers differ
in which schema keywords their strict mode takes; every answer is validated by the caller anyway.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, cast

import httpx
import openai
import orjson

from connectors.bounded_transport import BoundedTransport
from connectors.chat_model import usable_text
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError, SignalboxError
from signalbox.settings import ModelSettings

_SEED: Final = 1
_CONNECT_SECONDS: Final = 5.0
# Servers without accounts take any key; the client insists on one, and must not pick up somebody else's from the
# environment and send it to this server.
_NO_KEY: Final = "none"


class OpenAIChatModel:
    """Talks to one server. Build it anywhere, call it on one event loop."""

    def __init__(self, settings: ModelSettings, *, model: str, base_url: str) -> None:
        self.name = f"openai/{model}"
        self._model = model
        self._address = base_url
        self._max_tokens = settings.max_tokens
        # Our own deadline ends a call; the client's only tells a dead host from a slow model.
        timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        self._client = openai.AsyncOpenAI(
            api_key=settings.key() or _NO_KEY,
            base_url=base_url,
            max_retries=0,
            # The client is written for httpx2 and takes httpx as well, which is what our transport is for.
            http_client=cast(
                "Any",
                httpx.AsyncClient(
                    transport=BoundedTransport(self.name), timeout=timeout, follow_redirects=False
                ),
            ),
        )
        # Taken from the environment by the client, meant for another server than ours.
        self._client.organization = self._client.project = None

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """See `ChatModel.complete`."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                body = await self._chat(request)
        except TimeoutError:
            msg = f"{self.name} did not answer within {timeout_seconds} s"
            raise RetryableError(msg) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, SignalboxError):
                raise error.__cause__ from None  # what our transport said, wrapped by the client
            cause = type(error.__cause__ or error).__name__
            msg = f"{self.name} at {self._address} cannot be reached: {cause}"
            raise RetryableError(msg) from None
        return self._read(body, started)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def _chat(self, request: ChatRequest) -> bytes:
        # The path instead of its method: the client's own models of request and completion cost half of a call, and
        # the completion's trusts more than we do.
        response = await self._client.post(
            "/chat/completions",
            cast_to=httpx.Response,
            body={
                "model": self._model,
                "messages": [
                    {"role": "system", "content": request.system},
                    {"role": "user", "content": request.user},
                ],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": request.schema_name, "schema": dict(request.schema)},
                },
                "temperature": 0,
                "seed": _SEED,
                "max_tokens": self._max_tokens,
            },
        )
        return response.content

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


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
