"""The HTTP gateway as a process of the stack, where the settings do not switch it off."""

from __future__ import annotations

import sys
from functools import partial

from signalbox.local_stack import ports
from signalbox.local_stack.child import Child
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.process import ProcessSpec

EXIT_MISCONFIGURED = 4
"""It cannot serve with these settings; starting it again would change nothing."""


def gateway_children(layout: Layout) -> list[Child]:
    """Return the gateway's child, not started yet; none where it is switched off."""
    if not layout.settings.gateway.enabled:
        return []
    return [
        Child(
            "gateway",
            "gateway",
            partial(_gateway, layout),
            final_codes=frozenset({EXIT_MISCONFIGURED}),
        )
    ]


def _gateway(layout: Layout) -> ProcessSpec:
    gateway = layout.settings.gateway
    # Where it listens everywhere, it listens on loopback too.
    host = "127.0.0.1" if gateway.host in {"0.0.0.0", "::"} else gateway.host
    return ProcessSpec(
        name="gateway",
        argv=(sys.executable, "-m", "signalbox.gateway"),
        log_path=layout.logs / "gateway.log",
        environ=layout.environ(),
        ready=lambda: ports.is_listening(gateway.port, host),
    )
