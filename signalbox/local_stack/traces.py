"""The trace exporter as a process of the stack, where an endpoint is set; beside the gateway's read model, which it reads."""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec

from signalbox.errors import ConfigurationError
from signalbox.local_stack.child import Child
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.process import ProcessSpec
from signalbox.settings import Settings

EXIT_MISCONFIGURED = 4
"""It cannot export with these settings; starting it again would change nothing."""


def require_traces(settings: Settings) -> None:
    """Check that traces can be exported, where an endpoint says that they are to be.

    Raises:
        ConfigurationError: the extra is not installed, or there is no read model to make them of.
    """
    if settings.traces.endpoint is None:
        return
    if not has_exporter():
        msg = (
            f"SIGNALBOX_TRACES__ENDPOINT={settings.traces.endpoint} needs the extra `otel`, which is not installed: "
            "pip install 'signalbox[otel]', or unset it"
        )
        raise ConfigurationError(msg)
    if not settings.gateway.enabled:
        msg = (
            "SIGNALBOX_TRACES__ENDPOINT is set and SIGNALBOX_GATEWAY__ENABLED is false: traces are made of the gateway's read model; "
            "enable it, or unset the endpoint"
        )
        raise ConfigurationError(msg)


def has_exporter() -> bool:
    """Say whether the extra `otel` is installed."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def trace_children(layout: Layout) -> list[Child]:
    """Return the exporter, not started yet; none where no endpoint is set."""
    if layout.settings.traces.endpoint is None or not layout.settings.gateway.enabled:
        return []
    final = frozenset({EXIT_MISCONFIGURED})
    return [Child("trace exporter", "gateway", partial(_spec, layout), final_codes=final)]


def _spec(layout: Layout) -> ProcessSpec:
    return ProcessSpec(
        name="trace exporter",
        argv=(sys.executable, "-m", "signalbox.tracing"),
        log_path=layout.logs / "traces.log",
        environ=layout.environ(),
    )
