"""An OTLP/HTTP collector in this process: keeps the spans that it is sent, decoded by OpenTelemetry's own protocol files."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Received:
    """One span as the collector read it."""

    name: str
    service: str
    trace_id: str
    id: str
    parent: str
    start_ms: float
    end_ms: float
    is_error: bool
    attributes: Mapping[str, Any]
    events: tuple[str, ...]


class Collector:
    """Listens on a free port of loopback. `status` is what it answers; not 200 is a collector that takes nothing.

    `status_of` says it by how many spans a request has, and `sizes` has the numbers.
    """

    def __init__(self) -> None:
        self.status = 200
        self.status_of: Callable[[int], int] = lambda _: self.status
        self.sizes: list[int] = []
        self.spans: list[Received] = []
        self.refused = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = collector.take(self.path, body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def endpoint(self) -> str:
        """Its address, as the setting takes it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes) -> int:
        """Keep what a request carries; return the status."""
        if path != "/v1/traces":
            return 404
        request = ExportTraceServiceRequest.FromString(body)
        scopes = [scope for one in request.resource_spans for scope in one.scope_spans]
        self.sizes.append(sum(len(scope.spans) for scope in scopes))
        if (status := self.status_of(self.sizes[-1])) != 200:
            self.refused += 1
            return status
        for of_resource in request.resource_spans:
            service = _values(of_resource.resource.attributes)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [_received(service, span) for span in of_scope.spans]
        return 200

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _received(service: str, span: Any) -> Received:
    return Received(
        name=span.name,
        service=service,
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ms=span.start_time_unix_nano / 1e6,
        end_ms=span.end_time_unix_nano / 1e6,
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        events=tuple(event.name for event in span.events),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
