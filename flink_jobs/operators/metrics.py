"""The operator's metrics in Flink's metric group, by the names of `signalbox.metric_names`."""

from __future__ import annotations

from typing import Any, get_args

from flink_jobs.operators.model_calls import ModelCalls
from signalbox.metric_names import METRIC_GROUP, MetricName


class Metrics:
    """Counters and gauges of one subtask; for the operator's thread only, because Flink's are."""

    def __init__(self, group: Any, calls: ModelCalls) -> None:
        ours = group.add_group(METRIC_GROUP)
        self._calls = calls
        self._started = 0
        self._failed = 0
        self._counters = {
            name: ours.counter(name.removeprefix(f"{METRIC_GROUP}."))
            for name in get_args(MetricName)
            if name not in _GAUGES
        }
        ours.gauge("model_in_flight", lambda: calls.runner.in_flight)
        ours.gauge("model_waiting", lambda: calls.runner.waiting)

    def count(self, name: str) -> None:
        """Add one to a counter."""
        self._counters[name].inc()

    def update(self) -> None:
        """Bring the counters of the calls up to date; their own thread may not touch Flink's."""
        runner = self._calls.runner
        started, failed = runner.started, runner.failed
        self._counters["signalbox.model_calls"].inc(started - self._started)
        self._counters["signalbox.model_failures"].inc(failed - self._failed)
        self._started, self._failed = started, failed


_GAUGES = frozenset({"signalbox.model_in_flight", "signalbox.model_waiting"})
