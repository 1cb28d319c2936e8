"""`GET /metrics`, and the layer that counts every request: plain numbers, because it is in the way of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from fastapi import APIRouter, Request
from prometheus_client.core import Metric as Family
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.prometheus import CONTENT_TYPE, Exposition, family
from signalbox.gateway.access import needs
from signalbox.gateway.publisher import Publisher
from signalbox.measured import REQUEST_SECONDS, Buckets

router: Final = APIRouter(tags=["gateway"])
NO_ROUTE: Final = "none"
GONE: Final = "gone"
"""The status of a request whose client went away before its answer."""
_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Requests:
    """Requests by method, route and status, and how long those of each route took."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}
        self.seconds: dict[str, Buckets] = {}

    def add(self, method: str, route: str, status: str, seconds: float) -> None:
        """Count one. `route` is a template, so that there are few of them."""
        key = (method, route, status)
        self.counts[key] = self.counts.get(key, 0) + 1
        buckets = self.seconds.get(route)
        if buckets is None:
            buckets = self.seconds[route] = Buckets(REQUEST_SECONDS)
        buckets.observe(seconds)


class Measure:
    """The layer around the application. Plain ASGI."""

    def __init__(
        self, app: ASGIApp, *, into: Requests, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._into = into
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and count it, however it ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = GONE

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        began = self._now()
        try:
            await self._app(scope, receive, answer)
        finally:
            method = scope["method"]
            self._into.add(
                method if method in _METHODS else "other",
                _template_of(scope),
                status,
                self._now() - began,
            )


def _template_of(scope: Scope) -> str:
    # The router leaves it in the scope; who is refused before it has none, and nobody's path becomes a series.
    path: Any = getattr(scope.get("route"), "path", NO_ROUTE)
    return str(path).replace(":path}", "}")


def families(requests: Requests, publisher: Publisher) -> Iterable[Family]:
    """Return the gateway's metrics as they are now."""
    yield family("signalbox_gateway_requests_total", requests.counts.copy())
    seconds = {(route,): buckets for route, buckets in list(requests.seconds.items())}
    yield family("signalbox_gateway_request_duration_seconds", seconds)
    yield family("signalbox_gateway_published_total", publisher.published)
    yield family("signalbox_gateway_publish_failures_total", publisher.failed)
    yield family("signalbox_gateway_waiting", publisher.waiting)
    yield family("signalbox_gateway_broker_up", int(publisher.trouble is None))


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request) -> PlainTextResponse:
    """Return the gateway's metrics in Prometheus' text format; docs/metrics.md says what each means."""
    needs("read", request)
    exposition: Exposition = request.app.state.exposition
    return PlainTextResponse(exposition.text(), media_type=CONTENT_TYPE)
