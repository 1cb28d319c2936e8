"""The HTTP gateway and the consumer of its read model as processes of the stack, where the settings do not switch them off.

Two, so that a request never waits for records that are being read.
"""

from __future__ import annotations

import sys
from functools import partial

from signalbox.local_stack import ports
from signalbox.local_stack.child import Child
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.process import ProcessSpec
from signalbox.settings import Settings

EXIT_MISCONFIGURED = 4
"""It cannot serve with these settings; starting it again would change nothing."""


def gateway_children(layout: Layout) -> list[Child]:
    """Return the gateway and its read model, not started yet; none where they are switched off."""
    if not layout.settings.gateway.enabled:
        return []
    return [
        Child(
            "gateway",
            "gateway",
            partial(_gateway, layout),
            final_codes=frozenset({EXIT_MISCONFIGURED}),
        ),
        Child("read model", "gateway", partial(_read_model, layout)),
    ]


def _read_model(layout: Layout) -> ProcessSpec:
    return ProcessSpec(
        name="read model",
        argv=(sys.executable, "-m", "signalbox.gateway.readmodel"),
        log_path=layout.logs / "readmodel.log",
        environ=layout.environ(),
    )


def _gateway(layout: Layout) -> ProcessSpec:
    gateway = layout.settings.gateway
    host = _near_host(layout.settings)
    return ProcessSpec(
        name="gateway",
        argv=(sys.executable, "-m", "signalbox.gateway"),
        log_path=layout.logs / "gateway.log",
        environ=layout.environ(),
        ready=lambda: ports.is_listening(gateway.port, host),
    )


def pages_url(settings: Settings) -> str | None:
    """Return where a browser on this machine finds the pages; None where the gateway is switched off."""
    gateway = settings.gateway
    return f"http://{_near_host(settings)}:{gateway.port}/" if gateway.enabled else None


def _near_host(settings: Settings) -> str:
    # Where it listens everywhere, it listens on loopback too.
    host = settings.gateway.host
    return "127.0.0.1" if host in {"0.0.0.0", "::"} else host
