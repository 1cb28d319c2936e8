"""What every request passes first: who calls, how fast, and errors as problem+json. Plain ASGI: it is in the way of all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalbox.gateway.access import CALLER, HEADERS, Access, address_of
from signalbox.gateway.pages.assets import PLACE
from signalbox.gateway.pages.site import LOGIN, shown
from signalbox.gateway.problems import GatewayError, TooManyRequestsError, problem_of
from signalbox.gateway.rate import RateLimit

OPEN_PATHS: Final = frozenset({"/health", LOGIN})
"""What is asked without a key: by a probe, and by a person who is about to give one."""
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_NOT_GUESSED: Final = (b"x-content-type-options", b"nosniff")
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
                headers = [*message.get("headers", ()), _NOT_GUESSED]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_NOT_KEPT)
                message["headers"] = headers
            await send(message)

        # Decoded once: the framework's mapping looks through all of them for each name.
        scope[HEADERS] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            if not _is_open(scope["path"]):
                self._admit(scope)
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:
            if is_begun:
                raise
            if not isinstance(error, GatewayError):
                _log.error("request.failed", path=scope["path"], detail=repr(error), exc_info=True)
            await shown(problem_of(error), scope)(scope, receive, answer)

    def _admit(self, scope: Scope) -> None:
        caller = self._access.caller(address_of(scope), scope[HEADERS])
        scope[CALLER] = caller
        wait_seconds = self._rate.wait_of(caller.name, self._now())
        if wait_seconds > 0:
            msg = f"{caller.name} sends faster than it may"
            raise TooManyRequestsError(
                msg,
                "wait as long as Retry-After says",
                retry_after_seconds=wait_seconds,
            )


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(f"{PLACE}/")
