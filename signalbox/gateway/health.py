"""`GET /health`: whether messages are taken, for probes; no key is needed, so nothing else is told."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from signalbox.gateway.parts import parts_of
from signalbox.gateway.shapes import Health

router: Final = APIRouter(tags=["gateway"])


@router.get("/health", responses={200: {"model": Health}})
async def get_health(request: Request) -> JSONResponse:
    """Say whether messages are taken: 200, or 503 while the broker is away."""
    is_up = parts_of(request).publisher.trouble is None
    return JSONResponse({"broker": "up" if is_up else "away"}, 200 if is_up else 503)
