"""Prometheus' and Grafana's own configuration: whom to ask, how often, where the dashboards are."""

from __future__ import annotations

from typing import Any, Final

from signalbox.dashboards.panels import DATASOURCE
from signalbox.local_stack.flink_config import METRICS_PORT

EVERY: Final = "5s"


def prometheus(targets: str, flink: list[str]) -> dict[str, Any]:
    """Return prometheus.yml.

    Args:
        targets: the files in which agents, read model and gateway say where they are.
        flink: Flink's processes, `host:port`, or names of the containers' network.
    """
    is_local = all(":" in one for one in flink)
    found: dict[str, Any] = (
        {"static_configs": [{"targets": flink}]}
        if is_local
        # However many TaskManagers there are.
        else {
            "dns_sd_configs": [
                {"names": flink, "type": "A", "port": METRICS_PORT, "refresh_interval": "15s"}
            ]
        }
    )
    return {
        "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": "signalbox",
                "file_sd_configs": [{"files": [targets], "refresh_interval": "15s"}],
            },
            {"job_name": "flink", **found},
        ],
    }


def datasources() -> dict[str, Any]:
    """Return Grafana's data source: the Prometheus beside it."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": DATASOURCE["uid"],
                "type": DATASOURCE["type"],
                "access": "proxy",
                "url": "http://prometheus:9090",
                "isDefault": True,
                "jsonData": {"timeInterval": EVERY},
            }
        ],
    }


def providers() -> dict[str, Any]:
    """Return where Grafana finds the dashboards."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "signalbox",
                "folder": "Signalbox",
                "type": "file",
                "allowUiUpdates": False,
                "options": {"path": "/var/lib/grafana/dashboards"},
            }
        ],
    }
