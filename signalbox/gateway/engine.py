"""What the orchestrating job says of itself over Flink's REST API: its levels now, which no topic has."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.jobs import ORCHESTRATE_JOB
from signalbox.metric_names import JobMetric
from signalbox.settings import Settings

LEVELS: Final[tuple[JobMetric, ...]] = (
    "signalbox.model_in_flight",
    "signalbox.model_waiting",
    "signalbox.model_breaker_open",
)
_PATIENCE_SECONDS: Final = 2.0


def flink_url(settings: Settings) -> str:
    """Return where Flink's REST API is."""
    return settings.gateway.flink_url or f"http://127.0.0.1:{settings.flink.rest_port}"


def engine_levels(url: str) -> dict[str, int]:
    """Return the job's levels by metric name; nothing where Flink does not answer or no such job runs."""
    try:
        with closing(FlinkRest(url, timeout_seconds=_PATIENCE_SECONDS)) as rest:
            for job in rest.jobs():
                if job.name == ORCHESTRATE_JOB and job.state == "RUNNING":
                    return rest.sums(job.id, LEVELS)
    except OSError:
        pass
    return {}
