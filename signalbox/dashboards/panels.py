"""Grafana's panels and dashboards as data: a title, queries, a unit; the rest is the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
"""As dashboards/grafana/provisioning names it."""

Unit = Literal["short", "ops", "s", "ms", "percentunit", "bytes", "reqps"]
Look = Literal["timeseries", "stat", "table"]
_WIDTH: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and what its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `what` is the sentence behind the (i): how to read it."""

    title: str
    queries: tuple[Query, ...]
    what: str
    unit: Unit = "short"
    look: Look = "timeseries"
    width: int = 8


def dashboard(uid: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """Return a dashboard; its panels fill rows from left to right."""
    placed = []
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        placed.append(_panel(number, panel, x, y))
        x += panel.width
    return {
        "uid": uid,
        "title": title,
        "tags": ["signalbox"],
        "timezone": "browser",
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 41,
        "version": 1,
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "Signalbox",
                "tags": ["signalbox"],
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "panels": placed,
    }


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.look,
        "title": panel.title,
        "description": panel.what,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": _OPTIONS[panel.look],
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "instant": panel.look == "table",
                "range": panel.look != "table",
                "format": "table" if panel.look == "table" else "time_series",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


_OPTIONS: Final[dict[Look, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}
