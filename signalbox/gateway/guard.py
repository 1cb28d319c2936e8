"""What every request passes first: who calls, how fast, and errors as problem+json. Plain ASGI: it is in the way of all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalbox.gateway.access import CALLER, HEADERS, Access
from signalbox.gateway.problems import GatewayError, TooManyRequestsError, problem_of
from signalbox.gateway.rate import RateLimit

OPEN_PATHS: Final = frozenset({"/health"})
"""What a probe asks without a key."""
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
_log: Any = structlog.get_logger()


class Guard:
    """The outermost layer of the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        rate: RateLimit,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._access = access
        self._rate = rate
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_begun = False

        async def answer(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            if scope["path"] not in OPEN_PATHS:
                self._admit(scope)
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:
            if is_begun:
                raise
            if not isinstance(error, GatewayError):
                _log.error("request.failed", path=scope["path"], detail=repr(error), exc_info=True)
            await problem_of(error)(scope, receive, answer)

    def _admit(self, scope: Scope) -> None:
        client = scope.get("client")
        # Decoded once: the framework's mapping looks through all of them for each name.
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        scope[HEADERS] = headers
        caller = self._access.caller(client[0] if client else "", headers)
        scope[CALLER] = caller
        wait_seconds = self._rate.wait_of(caller.name, self._now())
        if wait_seconds > 0:
            msg = f"{caller.name} sends faster than it may"
            raise TooManyRequestsError(
                msg,
                "wait as long as Retry-After says",
                retry_after_seconds=wait_seconds,
            )
