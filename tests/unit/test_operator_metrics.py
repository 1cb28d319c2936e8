"""The operator's metrics: all of them counters, because an embedded interpreter bears one Java thread only."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

from flink_jobs.operators.metrics import Metrics
from signalbox.metric_names import JobMetric


class Counter:
    """Flink's counter, as far as it is used."""

    def __init__(self) -> None:
        self.value = 0

    def inc(self, by: int = 1) -> None:
        self.value += by


class Group:
    """Flink's metric group. It has no gauges, so a metric that asks for one fails here."""

    def __init__(self) -> None:
        self.counters: dict[str, Counter] = {}

    def add_group(self, name: str) -> Group:
        return self

    def counter(self, name: str) -> Counter:
        return self.counters.setdefault(name, Counter())


def made() -> tuple[Metrics, Group, Any]:
    group = Group()
    runner = SimpleNamespace(started=0, failed=0, in_flight=0, waiting=0, is_breaker_open=False)
    return Metrics(group, SimpleNamespace(runner=runner)), group, runner  # type: ignore[arg-type]


def test_metrics_every_name_is_a_counter_and_none_a_gauge() -> None:
    """A gauge would be asked on Flink's thread, which ends a TaskManager with operators inside; so there are none."""
    _, group, _ = made()

    assert set(group.counters) == {n.removeprefix("signalbox.") for n in get_args(JobMetric)}


def test_metrics_levels_follow_the_calls_up_and_down() -> None:
    """What is in flight and waiting is shown as it is at the last update, also after it fell."""
    metrics, group, runner = made()
    for in_flight, waiting in ((5, 2), (1, 0), (1, 0)):
        runner.in_flight, runner.waiting = in_flight, waiting
        metrics.update()
        shown = (group.counters["model_in_flight"].value, group.counters["model_waiting"].value)
        assert shown == (in_flight, waiting)


def test_metrics_breaker_is_one_while_open_and_zero_again() -> None:
    """An alert looks at the level: it goes back when the model answers."""
    metrics, group, runner = made()
    for is_open, shown in ((True, 1), (True, 1), (False, 0)):
        runner.is_breaker_open = is_open
        metrics.update()
        assert group.counters["model_breaker_open"].value == shown


def test_metrics_counts_of_the_calls_are_told_once() -> None:
    """Calls and failures reach Flink's counters as often as they happened, however often the pulse comes."""
    metrics, group, runner = made()
    runner.started, runner.failed = 3, 1
    metrics.update()
    metrics.update()
    metrics.count("signalbox.messages")

    assert group.counters["model_calls"].value == 3
    assert group.counters["model_failures"].value == 1
    assert group.counters["messages"].value == 1
