"""What the routes share: the scope that each needs, and answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from signalbox.gateway.access import Caller, needs


async def _reads(request: Request) -> Caller:
    return needs("read", request)


async def _asks(request: Request) -> Caller:
    needs("read", request)
    return needs("send", request)


async def _decides(request: Request) -> Caller:
    return needs("decide", request)


async def _defines(request: Request) -> Caller:
    return needs("define", request)


Reader = Annotated[Caller, Depends(_reads)]
Asker = Annotated[Caller, Depends(_asks)]
Decider = Annotated[Caller, Depends(_decides)]
Definer = Annotated[Caller, Depends(_defines)]


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `value` as JSON."""
    return Response(orjson.dumps(value, default=str), status, headers, "application/json")
