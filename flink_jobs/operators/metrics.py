"""The operator's metrics in Flink's metric group, by the names of `signalbox.metric_names`.

All are Flink counters, also those that fall. Flink would ask a gauge on a thread of its own, and a second thread in an
interpreter that runs inside the TaskManager ends the TaskManager (SIGSEGV, *seen*).
"""

from __future__ import annotations

from typing import Any, get_args

from flink_jobs.operators.model_calls import ModelCalls
from signalbox.metric_names import METRIC_GROUP, JobMetric


class Metrics:
    """Counters of one subtask; for the operator's thread only, because Flink's are."""

    def __init__(self, group: Any, calls: ModelCalls) -> None:
        ours = group.add_group(METRIC_GROUP)
        self._calls = calls
        self._counters = {
            name: ours.counter(name.removeprefix(f"{METRIC_GROUP}."))
            for name in get_args(JobMetric)
        }
        self._told: dict[JobMetric, int] = {}

    def count(self, name: JobMetric) -> None:
        """Add one to a counter."""
        self._counters[name].inc()

    def update(self) -> None:
        """Bring what the calls' own thread counts up to date; that thread may not touch Flink's counters."""
        runner = self._calls.runner
        self._tell("signalbox.model_calls", runner.started)
        self._tell("signalbox.model_failures", runner.failed)
        self._tell("signalbox.model_in_flight", runner.in_flight)
        self._tell("signalbox.model_waiting", runner.waiting)
        self._tell("signalbox.model_breaker_open", int(runner.is_breaker_open))

    def _tell(self, name: JobMetric, value: int) -> None:
        change = value - self._told.get(name, 0)
        if change:
            self._told[name] = value
            self._counters[name].inc(change)
