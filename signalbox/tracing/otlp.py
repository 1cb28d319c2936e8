"""Spans to an OTLP/HTTP endpoint, through OpenTelemetry's own exporter (extra `otel`)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from signalbox import __version__
from signalbox.tracing.spans import Span

TIMEOUT_SECONDS: Final = 10.0
_NS_PER_MS: Final = 1_000_000
_SCOPE: Final = InstrumentationScope("signalbox.tracing", __version__)


class OtlpSink:
    """Sends spans to `endpoint` (its base, without `/v1/traces`). Headers and certificates: OTEL_EXPORTER_OTLP_… ."""

    def __init__(self, endpoint: str) -> None:
        self._exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_SECONDS
        )

    def send(self, spans: Iterable[Span]) -> bool:
        """Send spans and say whether the endpoint took them; it is tried again a few times within.

        Delivery: at least once. Spans have the same ids each time.
        """
        readable = [_readable(span) for span in spans]
        return self._exporter.export(readable) is SpanExportResult.SUCCESS

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
        attributes=span.attributes,
        events=[
            Event(one.name, attributes=one.attributes, timestamp=one.at_ms * _NS_PER_MS)
            for one in span.events
        ],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.ERROR, span.error) if is_error else Status(StatusCode.OK),
        start_time=span.start_ms * _NS_PER_MS,
        end_time=span.end_ms * _NS_PER_MS,
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: int, span_id: int, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        trace_id, span_id, is_remote=is_remote, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


@lru_cache(maxsize=4096)
def _resource(service: str) -> Resource:
    named = {"service.name": service, "service.namespace": "signalbox"}
    return Resource({**named, "service.version": __version__})
