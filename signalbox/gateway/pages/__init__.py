"""Live pages for people: rendered here, moved by htmx and server-sent events, everything served from this package."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse

from signalbox.gateway.pages import (
    agents,
    assets,
    conversations,
    dead_letters,
    flow_health,
    inbox,
    lead,
    live,
    login,
    stream,
)
from signalbox.gateway.pages.hub import Hub
from signalbox.gateway.pages.levels import Levels
from signalbox.gateway.pages.site import HOME, PREFIX
from signalbox.gateway.parts import Parts


def add_pages(app: FastAPI, parts: Parts) -> None:
    """Add every page to the application."""
    app.state.hub = Hub(parts.read_model.tail)
    app.state.levels = Levels(parts)
    for each in (
        assets,
        login,
        live,
        flow_health,
        lead,
        conversations,
        inbox,
        dead_letters,
        agents,
        stream,
    ):
        app.include_router(each.router)
    for path in ("/", PREFIX, f"{PREFIX}/"):
        app.add_route(path, _home, include_in_schema=False)


async def _home(request: Request) -> RedirectResponse:
    return RedirectResponse(HOME, 307)
