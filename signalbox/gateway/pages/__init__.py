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
    inbox,
    lead,
    login,
    stream,
)
from signalbox.gateway.pages.hub import Hub
from signalbox.gateway.pages.site import HOME, PREFIX
from signalbox.gateway.readmodel.queries import ReadModel


def add_pages(app: FastAPI, read_model: ReadModel) -> None:
    """Add every page to the application."""
    app.state.hub = Hub(read_model.tail)
    for each in (assets, login, lead, conversations, inbox, dead_letters, agents, stream):
        app.include_router(each.router)
    for path in ("/", PREFIX, f"{PREFIX}/"):
        app.add_route(path, _home, include_in_schema=False)


async def _home(request: Request) -> RedirectResponse:
    return RedirectResponse(HOME, 307)
