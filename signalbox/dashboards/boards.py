"""The three dashboards by the names of their files."""

from __future__ import annotations

from typing import Any

from signalbox.dashboards import agents, flink, overview
from signalbox.dashboards.panels import dashboard


def boards() -> dict[str, dict[str, Any]]:
    """Return file name → dashboard."""
    return {
        "overview.json": dashboard("signalbox-overview", "Signalbox: overview", overview.panels()),
        "agents.json": dashboard("signalbox-agents", "Signalbox: agents", agents.panels()),
        "flink.json": dashboard("signalbox-flink", "Signalbox: Flink", flink.panels()),
    }
