"""A chat model that says what it was told to: for tests of anything that talks to a model, ours and users' own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from connectors.chat_model import check_answer_size
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError, TerminalError

Said = str | Mapping[str, Any] | Exception
Script = Callable[[ChatRequest], Said | Awaitable[Said]] | Mapping[str, Said]


class ScriptedChatModel:
    """Answers by a function of the request, or by a mapping from `schema_name` to the answer.

    An answer is text, a mapping (sent as JSON) or an exception (raised). `requests` keeps every request asked.
    """

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[ChatRequest] = []
        self._script = script

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Answer as scripted.

        Raises:
            RetryableError: the scripted function took longer than `timeout_seconds`.
            TerminalError: a mapping has no answer for `request.schema_name`.
        """
        self.requests.append(request)
        try:
            async with asyncio.timeout(timeout_seconds):
                said = await self._say(request)
        except TimeoutError:
            msg = f"{self.name} did not answer within {timeout_seconds} s"
            raise RetryableError(msg) from None
        if isinstance(said, Exception):
            raise said
        text = said if isinstance(said, str) else orjson.dumps(said).decode()
        return ChatAnswer(text=check_answer_size(text, model=self.name), model=self.name)

    async def close(self) -> None:
        """Nothing to close."""

    async def _say(self, request: ChatRequest) -> Said:
        if isinstance(self._script, Mapping):
            if request.schema_name not in self._script:
                msg = f"nothing is scripted for {request.schema_name!r}; scripted: {sorted(self._script)}"
                raise TerminalError(msg, reason="model_failed")
            return self._script[request.schema_name]
        said = self._script(request)
        if isinstance(said, str | Mapping | Exception):
            return said
        return await said
