"""How the job runs: latency, delivery, state and recovery options, all from settings."""

from __future__ import annotations

from typing import Final

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment

from flink_jobs.execution_mode import OPTION, execution_mode
from flink_jobs.operators.shards import MAX_PARALLELISM
from signalbox.settings import Settings

BUNDLE_TIME_MS: Final = 3
"""Only in `process` mode: a message passes three bundles (decode, route, its answer) and waits up to this in each."""
BUNDLE_SIZE: Final = 200
"""At the back-pressure of 5 ms an element, a bundle and so a checkpoint waits at most a second."""
BUFFER_TIMEOUT_MS: Final = 2
CHECKPOINT_TIMEOUT_MS: Final = 60_000
RETAINED_CHECKPOINTS: Final = 3


def stream_environment(settings: Settings) -> StreamExecutionEnvironment:
    """Return the environment that the job is built in; `settings.flink.conf` is passed to Flink untouched and wins."""
    options = {
        OPTION: execution_mode(settings),
        "python.fn-execution.bundle.time": str(BUNDLE_TIME_MS),
        "python.fn-execution.bundle.size": str(BUNDLE_SIZE),
        "execution.buffer-timeout.interval": f"{BUFFER_TIMEOUT_MS} ms",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms} ms",
        # In both modes: a state without duplicates is what makes derived ids deterministic in effect.
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.timeout": f"{CHECKPOINT_TIMEOUT_MS} ms",
        "execution.checkpointing.max-concurrent-checkpoints": "1",
        "execution.checkpointing.num-retained": str(RETAINED_CHECKPOINTS),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
        "state.backend.type": settings.flink.state_backend,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        "restart-strategy.exponential-delay.backoff-multiplier": "1.5",
        "pipeline.max-parallelism": str(MAX_PARALLELISM),
        "parallelism.default": str(settings.flink.parallelism),
        # The parts of SQL tables get fixed uids as well, so that a savepoint fits the next version of the job.
        "table.exec.uid.generation": "ALWAYS",
        **settings.flink.conf,
    }
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    return StreamExecutionEnvironment.get_execution_environment(configuration)
