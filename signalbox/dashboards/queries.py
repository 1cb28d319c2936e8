"""PromQL made of the list of metrics: a name that is not there is a type error, and its kind says how it may be asked."""

from __future__ import annotations

from signalbox.metric_names import METRICS, MetricName, exposed

_WINDOW = "[$__rate_interval]"


def rate(name: MetricName, *by: str, where: str = "", window: str = _WINDOW) -> str:
    """Return the events a second of a counter, summed over what is not in `by`.

    Raises:
        ValueError: it is no counter.
    """
    return f"sum{_by(by)} (rate({_counter(name)}{_where(where)}{window}))"


def increase(name: MetricName, window: str, *by: str, where: str = "") -> str:
    """Return how many events of a counter there were in `window` (`[5m]`). Raises ValueError: it is no counter."""
    return f"sum{_by(by)} (increase({_counter(name)}{_where(where)}{window}))"


def level(how: str, name: MetricName, *by: str, where: str = "") -> str:
    """Return a gauge, put together by `how` (sum, max, min). Raises ValueError: it is none."""
    if METRICS[name].kind != "gauge":
        msg = f"{name} is a {METRICS[name].kind}; ask for its rate"
        raise ValueError(msg)
    return f"{how}{_by(by)} ({exposed(name)}{_where(where)})"


def gone(name: MetricName) -> str:
    """Return 1 where nobody tells a metric that was told within a day: no level of what is not there makes an alert fire.

    Where it never was, as of a part that is switched off, there is nothing to miss.
    """
    return f"(max (present_over_time({exposed(name)}[1d])) unless max ({exposed(name)}))"


def quantile(part: float, name: MetricName, *by: str, window: str = _WINDOW) -> str:
    """Return the value below which `part` of a histogram's values are. Raises ValueError: it is none."""
    if METRICS[name].kind != "histogram":
        msg = f"{name} is a {METRICS[name].kind}; only histograms have quantiles"
        raise ValueError(msg)
    buckets = f"sum{_by(('le', *by))} (rate({exposed(name)}_bucket{window}))"
    return f"histogram_quantile({part:g}, {buckets})"


def _counter(name: MetricName) -> str:
    if METRICS[name].kind != "counter":
        msg = f"{name} is a {METRICS[name].kind}; only counters have a rate"
        raise ValueError(msg)
    return exposed(name)


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
