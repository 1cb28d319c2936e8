"""The list of metrics: whole, well named, and what the page says."""

from __future__ import annotations

import re
from typing import get_args

from signalbox.metric_names import (
    METRICS,
    AgentMetric,
    FlinkMetric,
    GatewayMetric,
    JobMetric,
    ProcessMetric,
    ReadModelMetric,
    exposed,
)
from signalbox.metrics_page import PAGE, page

OWNERS = {
    "job": JobMetric,
    "gateway": GatewayMetric,
    "agent": AgentMetric,
    "read model": ReadModelMetric,
    "process": ProcessMetric,
    "flink": FlinkMetric,
}


def test_every_name_has_its_kind_and_cause_and_nothing_else_has() -> None:
    """What code may name is what is described, each under its owner."""
    for owner, names in OWNERS.items():
        listed = [name for name, metric in METRICS.items() if metric.owner == owner]
        assert sorted(listed) == sorted(get_args(names)), owner
        assert all(len(METRICS[name].cause) > 10 for name in listed)


def test_names_say_their_kind_and_unit() -> None:
    """Prometheus' conventions: counters end in `_total`, histograms in their unit; Flink knows neither."""
    for name, metric in METRICS.items():
        if metric.owner in {"gateway", "agent", "read model"}:
            assert name.endswith("_total") == (metric.kind == "counter"), name
            assert metric.kind != "histogram" or name.endswith("_seconds"), name
            assert name.startswith(f"signalbox_{metric.owner.replace(' ', '')}_"), name


def test_what_prometheus_has_is_a_name_that_it_takes() -> None:
    """Also of the job, whose metrics have dots."""
    for name in METRICS:
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", exposed(name)), name


def test_the_page_is_what_the_list_says() -> None:
    """docs/metrics.md is the one that `make docs` writes."""
    text = PAGE.read_text("utf-8")
    assert text == page(text)
