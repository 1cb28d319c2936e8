"""Numbers for Prometheus: metrics of the list as families, a small server for `/metrics`, and a file that says where it is.

Nothing is counted here: processes count in plain numbers, and are asked when Prometheus asks. Names, kinds and labels come from
`signalbox.metric_names`; what is not there cannot be shown.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from signalbox.measured import Buckets
from signalbox.metric_names import METRICS, PrometheusMetric
from signalbox.settings import MetricsSettings, Settings

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
Samples = Mapping[Any, float | Buckets]
"""By the values of the labels, a tuple of texts."""
Collect = Callable[[], Iterable[Family]]
_log: Any = structlog.get_logger()


def family(name: PrometheusMetric, samples: Samples | float | Buckets) -> Family:
    """Return a metric with its series.

    Args:
        name: in the list.
        samples: values by those of the metric's labels, in their order; the value itself where there are no labels.

    Raises:
        ValueError: the labels are not those of the list, or a histogram got a number.
    """
    metric = METRICS[name]
    by_labels = samples if isinstance(samples, Mapping) else {(): samples}
    for labels, value in by_labels.items():
        is_histogram = isinstance(value, Buckets)
        if len(labels) != len(metric.labels) or is_histogram != (metric.kind == "histogram"):
            msg = f"{name} is a {metric.kind} with labels {metric.labels}; got {labels}: {value!r}"
            raise ValueError(msg)
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.cause, labels=metric.labels)
        for labels, buckets in by_labels.items():
            if isinstance(buckets, Buckets):
                histogram.add_metric(labels, _cumulative(buckets), buckets.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    numbers = kind(name, metric.cause, labels=metric.labels)
    for labels, number in by_labels.items():
        if not isinstance(number, Buckets):
            numbers.add_metric(labels, number)
    return numbers


def _cumulative(buckets: Buckets) -> list[tuple[str, float]]:
    bounds = (*(f"{bound:g}" for bound in buckets.bounds), "+Inf")
    return list(zip(bounds, buckets.cumulative(), strict=True))


class Exposition:
    """What one process tells: the families of `collect`, and its own CPU and memory."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def collect(self) -> Iterable[Family]:
        """Return the families as they are now."""
        return self._collect()

    def describe(self) -> Iterable[Family]:
        """Return nothing: names are checked in the list, not by asking for values."""
        return ()

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class TargetFile:
    """A file in the home that tells Prometheus (`file_sd_configs`) where a process answers; gone when it ended well.

    Where it ended otherwise the file stays: what is not there can be missed only by who knows where it was.
    """

    def __init__(
        self, settings: Settings, name: str, labels: Mapping[str, str], host: str | None = None
    ) -> None:
        self._path = targets_folder(settings) / f"{name}.json"
        self._host = settings.metrics.advertised_host or host or settings.metrics.host
        self._labels = dict(labels)
        self._said = ""

    def write(self, port: int) -> None:
        """Say that the process answers on `port`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".tmp")
        self._said = json.dumps([{"targets": [f"{self._host}:{port}"], "labels": self._labels}])
        scratch.write_text(self._said, encoding="utf-8")
        # Whole or not at all: Prometheus watches the folder.
        scratch.replace(self._path)

    def announce(self, port: int) -> None:
        """Say it where that can be written; else say so in the log: nobody is to be without a process for want of a file."""
        try:
            self.write(port)
        except OSError as error:
            _log.warning(
                "metrics.not_announced",
                file=str(self._path),
                detail=f"{error}; tell Prometheus {self._host}:{port} yourself, or make room there and start again",
            )

    def remove(self) -> None:
        """Say that it does not any more; what another process of its name has said since, stays."""
        with suppress(FileNotFoundError):
            if self._path.read_text("utf-8") == self._said:
                self._path.unlink()


def targets_folder(settings: Settings) -> Path:
    """Return where the target files of one home are."""
    return settings.home.absolute() / "metrics"


class MetricsServer:
    """Answers `/metrics` of a process in a thread of its own, where the settings have it; as a context manager.

    Nothing of the process depends on it: where it cannot listen, it says so in the log and the process goes on.
    """

    def __init__(self, exposition: Exposition, settings: MetricsSettings, file: TargetFile) -> None:
        self._exposition = exposition
        self._settings = settings
        self._file = file
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int | None:
        """Where it listens; None where it does not."""
        return None if self._server is None else int(self._server.server_port)

    def __enter__(self) -> Self:
        if self._settings.enabled:
            self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._server is None or self._thread is None:
            return
        if kind is None or not issubclass(kind, Exception):
            with suppress(OSError):
                self._file.remove()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _start(self) -> None:
        try:
            self._server, self._thread = start_http_server(
                self._settings.port, self._settings.host, self._exposition.registry
            )
        except OSError as error:
            address = f"{self._settings.host}:{self._settings.port}"
            _log.warning(
                "metrics.not_served",
                address=address,
                detail=f"{error}; set SIGNALBOX_METRICS__PORT to a free port, or 0 for any",
            )
        else:
            self._file.announce(self._server.server_port)
