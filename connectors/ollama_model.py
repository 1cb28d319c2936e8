"""A chat model served by Ollama: structured output by grammar (`format=`), temperature 0, tokens bounded.

Source: Ollama API, POST /api/chat, and /api/show for what a model can do. Its grammar enforces neither number bounds nor
an end of a string without `maxLength`; an answer that ran into the token limit (`done_reason: length`) is cut JSON and
counts as a failure.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import httpx
import ollama
from pydantic import ValidationError

from connectors.bounded_transport import BoundedTransport
from connectors.chat_model import usable_text
from connectors.model_errors import RequestRefusedError, pictures_refused
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import ImagesRefusedError, RetryableError
from signalbox.settings import ModelSettings

DEFAULT_BASE_URL: Final = "http://127.0.0.1:11434"
_SEED: Final = 1
_VISION: Final = "vision"
_CONNECT_SECONDS: Final = 5.0


class OllamaChatModel:
    """Talks to one Ollama server. Build it anywhere, call it on one event loop."""

    def __init__(self, settings: ModelSettings, *, model: str) -> None:
        self.name = f"ollama/{model}"
        self._model = model
        self._max_tokens = settings.max_tokens
        self._sees: bool | None = None
        self._address = settings.base_url or DEFAULT_BASE_URL
        key = settings.key()
        self._client = ollama.AsyncClient(
            host=self._address,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            # Our own deadline ends a call; this one only tells a dead host from a slow model.
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            follow_redirects=False,
            transport=BoundedTransport(self.name),
        )

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """See `ChatModel.complete`."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._chat(request)
        except TimeoutError:
            msg = f"{self.name} did not answer within {timeout_seconds} s"
            raise RetryableError(msg) from None
        except (httpx.HTTPError, ConnectionError) as error:
            msg = f"{self.name} at {self._address} cannot be reached: {type(error).__name__}"
            raise RetryableError(msg) from None
        except (ollama.ResponseError, ValidationError, ValueError):
            msg = f"{self.name} at {self._address} answered something that is not Ollama's API"
            raise RetryableError(msg) from None
        except RequestRefusedError as error:
            if not request.images:
                raise
            raise pictures_refused(self.name, error) from None
        return self._read(response, started)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _require_sight(self) -> None:
        """Make sure that the model sees. Asked once: a model without sight may answer as if it had seen something."""
        if self._sees is None:
            shown = await self._client.show(self._model)
            if shown.capabilities is None:
                msg = f"{self.name} at {self._address} does not say whether it sees pictures; update Ollama"
                raise ImagesRefusedError(msg)
            self._sees = _VISION in shown.capabilities
        if not self._sees:
            msg = f"{self.name} sees no pictures; name a model that does in SIGNALBOX_MODEL__NAME, like llama3.2-vision"
            raise ImagesRefusedError(msg)

    async def _chat(self, request: ChatRequest) -> ollama.ChatResponse:
        said: dict[str, Any] = {"role": "user", "content": request.user}
        if request.images:
            await self._require_sight()
            said["images"] = [ollama.Image(value=image.data) for image in request.images]
        return await self._client.chat(
            model=self._model,
            messages=[{"role": "system", "content": request.system}, said],
            format=dict(request.schema),
            options={"temperature": 0, "seed": _SEED, "num_predict": self._max_tokens},
        )

    def _read(self, response: ollama.ChatResponse, started: float) -> ChatAnswer:
        text = response.message.content or ""
        return ChatAnswer(
            text=usable_text(
                text,
                is_cut=response.done_reason == "length",
                model=self.name,
                max_tokens=self._max_tokens,
            ),
            model=self.name,
            tokens_in=response.prompt_eval_count or 0,
            tokens_out=response.eval_count or 0,
            latency_ms=round((time.perf_counter() - started) * 1000),
        )
