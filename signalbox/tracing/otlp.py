"""Spans to an OTLP/HTTP endpoint, through OpenTelemetry's own exporter (extra `otel`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from signalbox import __version__
from signalbox.tracing.exporter import Sent
from signalbox.tracing.spans import Span, Value

TIMEOUT_SECONDS: Final = 10.0
AT_ONCE: Final = 100
"""Spans in one request: collectors take some MB of it."""
MAX_TEXT_CHARS: Final = 4096
"""Of one value; what a record says may be a megabyte."""
_REFUSED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
"""What a collector says of these spans alone, and says again each time (OTLP/HTTP, Failures). All else is about all spans."""
_MAX_NS: Final = 2**64 - 1
_INTEGERS: Final = 2**63
_NS_PER_MS: Final = 1_000_000
_SCOPE: Final = InstrumentationScope("signalbox.tracing", __version__)


class OtlpSink:
    """Sends spans to `endpoint` (its base, without `/v1/traces`). Headers and certificates: OTEL_EXPORTER_OTLP_… ."""

    def __init__(self, endpoint: str) -> None:
        # Of its own, because the exporter keeps to itself what was answered.
        session = requests.Session()
        session.hooks["response"].append(self._note)
        self._status: int | None = None
        self._exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_SECONDS, session=session
        )

    def send(self, spans: Iterable[Span]) -> Sent:
        """Send spans and say what became of them; it is tried again a few times within.

        Delivery: at least once. Spans have the same ids each time.
        """
        readable = [_readable(span) for span in spans]
        said: Sent = "taken"
        for first in range(0, len(readable), AT_ONCE):
            match self._send(readable[first : first + AT_ONCE]):
                case "later":
                    return "later"
                case "refused":
                    said = "refused"
        return said

    def _send(self, spans: Sequence[ReadableSpan]) -> Sent:
        self._status = None
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return "taken"
        if self._status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(spans) > 1:
            half = len(spans) // 2
            said = {self._send(spans[:half]), self._send(spans[half:])}
            return "later" if "later" in said else "refused" if "refused" in said else "taken"
        return "refused" if self._status in _REFUSED else "later"

    def _note(self, response: Any, **_: object) -> None:
        self._status = int(response.status_code)

    def close(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _readable(span: Span) -> ReadableSpan:
    is_error = span.error is not None
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.id, is_remote=False),
        parent=None
        if span.parent is None
        else _context(span.trace_id, span.parent, is_remote=False),
        resource=_resource(span.service),
        attributes=_attributes(span.attributes),
        events=[
            Event(
                one.name[:MAX_TEXT_CHARS],
                attributes=_attributes(one.attributes),
                timestamp=_ns(one.at_ms),
            )
            for one in span.events
        ],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.ERROR, (span.error or "")[:MAX_TEXT_CHARS])
        if is_error
        else Status(StatusCode.OK),
        start_time=_ns(span.start_ms),
        end_time=_ns(span.end_ms),
        instrumentation_scope=_SCOPE,
    )


def _ns(at_ms: int) -> int:
    return min(max(at_ms * _NS_PER_MS, 0), _MAX_NS)


def _attributes(said: dict[str, Value]) -> dict[str, Value]:
    """Return attributes as OTLP can say them: whole numbers of 64 bits, texts that are no documents."""
    return {name: _value(value) for name, value in said.items()}


def _value(value: Value) -> Value:
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARS]
    if isinstance(value, int) and not -_INTEGERS <= value < _INTEGERS:
        return str(value)[:MAX_TEXT_CHARS]
    return value


def _context(trace_id: int, span_id: int, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        trace_id, span_id, is_remote=is_remote, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


@lru_cache(maxsize=4096)
def _resource(service: str) -> Resource:
    named = {"service.name": service, "service.namespace": "signalbox"}
    return Resource({**named, "service.version": __version__})
