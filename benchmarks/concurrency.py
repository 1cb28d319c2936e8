"""Whether the model is kept busy: mean calls in flight over rate × mean latency is 1 when no call is ever held back.

Mean 1 s, sigma 1, lognormal. Calls in flight are what the model itself counts, in a window after the longest calls of the
start are in flight, too. The references are asked on the same stub: PyFlink's own asynchronous operator at both rates,
ML_PREDICT and a plain loop of 64 threads at the lower one, which neither reaches.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final

from benchmarks.figures import Result
from benchmarks.lab import AGENTS, Lab, ask_stub, model, stub_model, taker
from benchmarks.latency import reference

RATES: Final = (50.0, 400.0)
SIGMA: Final = 1.0
SECONDS: Final = 60
SETTLED_SECONDS: Final = 20
MAX_IN_FLIGHT: Final = 4096
REFERENCES: Final = {
    "plain_loop": ("plain loop", RATES[:1]),
    "ml_predict": ("ML_PREDICT", RATES[:1]),
    "async_datastream": ("AsyncDataStream", RATES),
}
"""Name → what it is called here, and the rates it is offered."""


def measure(lab: Lab) -> Result:
    """Ours at each rate, then the references."""
    result = Result("Calls in flight over rate × mean latency")
    for rate in RATES:
        _ours(lab, result, rate)
    for name, (label, rates) in REFERENCES.items():
        for rate in rates:
            _reference(lab, result, name, label, rate)
    return result


def _ours(lab: Lab, result: Result, rate: float) -> None:
    agents = [taker(name, "b") for name in AGENTS]
    count = int(rate * SECONDS)
    with (
        stub_model(math.exp(-SIGMA * SIGMA / 2), SIGMA) as url,
        lab.deployment(f"busy-{rate:g}", agents, model=model(url, MAX_IN_FLIGHT)) as job,
    ):
        lab.feed(job.messages, 200, 50, name="warm").report()
        lab.wait_for_records(job.decisions, 200)
        feeder = lab.feed(job.messages, count, rate, name="busy")
        window = _window(url)
        fed = feeder.report()
        lab.wait_for_records(job.decisions, 200 + count)
    _add(result, f"signalbox at {rate:g}/s", window, fed["rate"], aim=0.98)


def _reference(lab: Lab, result: Result, name: str, label: str, rate: float) -> None:
    more = [] if name == "plain_loop" else ["--capacity", str(MAX_IN_FLIGHT)]
    with (
        stub_model(math.exp(-SIGMA * SIGMA / 2), SIGMA) as url,
        reference(lab, name, url, run=f"-{rate:g}", more=more) as player,
    ):
        lab.feed(player.topic_in, 200, 20, name="warm").report()
        lab.wait_for_records(player.topics_out[0], 200)
        # Not waited for until everything came out: it falls behind, which is what is measured.
        feeder = lab.feed(player.topic_in, int(rate * SECONDS), rate, name="busy")
        window = _window(url)
        feeder.report()
    _add(result, f"{label} at {rate:g}/s", window, rate, aim=None)


def _window(url: str) -> dict[str, Any]:
    time.sleep(SETTLED_SECONDS)
    ask_stub(url, "/stats/reset", "POST")
    time.sleep(SECONDS - SETTLED_SECONDS - 2)
    return ask_stub(url, "/stats")


def _add(
    result: Result, label: str, window: dict[str, Any], rate: float, *, aim: float | None
) -> None:
    mean_in_flight = window["in_flight_seconds"] / window["elapsed_seconds"]
    # By Little's law both sides are the same calls: the offered rate, not the served one, shows what was held back.
    expected = rate * window["latency_mean_seconds"]
    result.add(f"{label}: ratio", mean_in_flight / expected, "", aim, at_least=True)
    result.add(f"{label}: mean calls in flight", mean_in_flight, "calls")
    result.add(f"{label}: calls served", window["calls"] / window["elapsed_seconds"], "/s")
