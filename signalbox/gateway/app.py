"""The FastAPI application, made of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from connectors.prometheus import Exposition
from signalbox import __version__
from signalbox.errors import SignalboxError
from signalbox.gateway import (
    agents,
    asking,
    asyncapi,
    conversations,
    dead_letters,
    decisions,
    events,
    flow,
    health,
    metrics,
    openapi,
    registering,
    reviews,
)
from signalbox.gateway.guard import Guard
from signalbox.gateway.pages import add_pages
from signalbox.gateway.pages.site import shown
from signalbox.gateway.parts import Parts
from signalbox.gateway.problems import GatewayError, RequestError, problem, problem_of


def create_app(parts: Parts) -> FastAPI:
    """Return the application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await parts.publisher.start()
        try:
            yield
        finally:
            await parts.publisher.stop()

    app = FastAPI(
        title="Signalbox",
        version=__version__,
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    app.state.waiting = asking.Waiting()
    app.state.flow_health = flow.FlowHealth(parts)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    for each in (
        events,
        asking,
        conversations,
        decisions,
        agents,
        registering,
        reviews,
        dead_letters,
        flow,
        health,
        metrics,
    ):
        app.include_router(each.router)
    add_pages(app, parts)
    app.add_route("/asyncapi.json", _asyncapi, include_in_schema=False)
    app.add_exception_handler(SignalboxError, _problem)
    app.add_exception_handler(RequestValidationError, _problem)
    app.add_exception_handler(HTTPException, _problem)
    app.add_middleware(Guard, access=parts.access, rate=parts.rate)
    app.state.requests = metrics.Requests()
    app.state.exposition = Exposition(lambda: metrics.families(app.state.requests, parts.publisher))
    app.add_middleware(metrics.Measure, into=app.state.requests)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi.document(app)
    return app.openapi_schema


async def _asyncapi(request: Request) -> Response:
    return JSONResponse(asyncapi.document())


async def _problem(request: Request, error: Exception) -> Response:
    return shown(_problem_of(error), request.scope)


def _problem_of(error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem_of(RequestError(f"{place}: {first['msg']}", "mend what is named"))
    if isinstance(error, HTTPException):
        return _of_http(error)
    return problem_of(error)


def _of_http(error: HTTPException) -> Response:
    """Return the problem for what the framework itself refuses: no such path, no such method."""
    answer = problem(
        error.status_code,
        GatewayError.code,
        str(error.detail),
        detail=str(error.detail),
        remedy="/openapi.json lists every path and method",
    )
    answer.headers.update(error.headers or {})
    return answer
