"""What the routes share: the scope that each needs, and answers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from signalbox.gateway.access import Caller, needs

_SAFE_DIGITS: Final = 19
"""So many digits may be more than 64 bits."""


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
    try:
        body = orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:
        # A number beyond 64 bits in somebody's data: as the job reads it, which is as a float.
        text = json.dumps(value, default=str)
        body = orjson.dumps(json.loads(text, parse_int=_int_or_float))
    return Response(body, status, headers, "application/json")


def _int_or_float(digits: str) -> int | float:
    return int(digits) if len(digits) < _SAFE_DIGITS else float(digits)
