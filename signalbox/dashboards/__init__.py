"""Grafana dashboards and Prometheus alerts as data; `python -m signalbox.dashboards` writes `dashboards/`."""
