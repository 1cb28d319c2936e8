"""The profile `observability` of docker-compose.yml: Prometheus with our alerts, Grafana with our dashboards."""

from __future__ import annotations

from typing import Any, Final

PROMETHEUS_IMAGE: Final = "prom/prometheus:v3.5.0"
GRAFANA_IMAGE: Final = "grafana/grafana:12.1.0"
VOLUMES: Final[dict[str, Any]] = {"prometheus-data": {}, "grafana-data": {}}
_PROFILES: Final = ["observability"]
_OF_US: Final = "./dashboards"


def services(state: str) -> dict[str, Any]:
    """Return the services. `state` is the volume in which our processes say where they answer, and where they have it."""
    volume = state.partition(":")[0]
    return {
        "prometheus": {
            "image": PROMETHEUS_IMAGE,
            "profiles": _PROFILES,
            "ports": ["127.0.0.1:${PROMETHEUS_PORT:-9090}:9090"],
            "volumes": [
                f"{_OF_US}/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
                f"{_OF_US}/alerts.yml:/etc/prometheus/alerts.yml:ro",
                f"{volume}:/signalbox:ro",
                "prometheus-data:/prometheus",
            ],
            "restart": "unless-stopped",
        },
        "grafana": {
            "image": GRAFANA_IMAGE,
            "profiles": _PROFILES,
            # Its port is open on this machine's alone; who is there may look without logging in.
            "environment": {
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
                "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": "/var/lib/grafana/dashboards/overview.json",
            },
            "ports": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
            "volumes": [
                f"{_OF_US}/grafana/provisioning:/etc/grafana/provisioning:ro",
                f"{_OF_US}/grafana/boards:/var/lib/grafana/dashboards:ro",
                "grafana-data:/var/lib/grafana",
            ],
            "depends_on": {"prometheus": {"condition": "service_started"}},
            "restart": "unless-stopped",
        },
    }
