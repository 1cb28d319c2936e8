"""Every Flink option we set, in one place: the local cluster and docker-compose.yml are both rendered from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyflink

from signalbox.local_stack.ports import LOOPBACK
from signalbox.settings import Settings

JOBMANAGER_HEAP_MB: Final = 256
JOBMANAGER_METASPACE_MB: Final = 192
JOBMANAGER_DIRECT_MB: Final = 128

TASKMANAGER_MEMORY_MB: Final[dict[str, int]] = {
    "taskmanager.memory.framework.heap.size": 96,
    "taskmanager.memory.task.heap.size": 288,
    "taskmanager.memory.framework.off-heap.size": 128,
    "taskmanager.memory.task.off-heap.size": 64,
    "taskmanager.memory.network.min": 64,
    "taskmanager.memory.network.max": 64,
    "taskmanager.memory.managed.size": 96,
    "taskmanager.memory.jvm-metaspace.size": 224,
    "taskmanager.memory.jvm-overhead.min": 96,
    "taskmanager.memory.jvm-overhead.max": 96,
}
"""All parts are given, because a TaskManager that is started without Flink's shell scripts derives none."""

METRICS_PORT: Final = 9249
"""Where a Flink process in a container of its own answers `/metrics`; the reporter's own default."""

MIN_TASK_SLOTS: Final = 6
"""Two jobs at parallelism 1 leave four slots for questions asked in SQL."""


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where the cluster listens and keeps its files. `bind_host` is loopback unless a container network needs more."""

    rest_port: int
    rpc_port: int
    state_folder: str
    python: str = sys.executable
    host: str = LOOPBACK
    bind_host: str = LOOPBACK
    taskmanager_host: str = LOOPBACK


def cluster_options(settings: Settings, address: ClusterAddress) -> dict[str, str]:
    """Return Flink's configuration as key → value; `settings.flink.conf` wins over everything here."""
    options = {
        **_network(address),
        **_jobs(settings, address),
        **_metrics(settings),
        **{key: f"{size}m" for key, size in TASKMANAGER_MEMORY_MB.items()},
        "jobmanager.memory.heap.size": f"{JOBMANAGER_HEAP_MB}m",
        "jobmanager.memory.jvm-metaspace.size": f"{JOBMANAGER_METASPACE_MB}m",
        "jobmanager.memory.off-heap.size": f"{JOBMANAGER_DIRECT_MB}m",
        "taskmanager.cpu.cores": "1.0",
        "taskmanager.numberOfTaskSlots": str(
            max(MIN_TASK_SLOTS, 2 * settings.flink.parallelism + 4)
        ),
        # A checkpoint waits for the records that are buffered before it. Where the router holds back its input (5 ms a record, see
        # is_full in model_calls.py) the default's half megabyte takes it 12 seconds.
        "taskmanager.network.memory.buffer-debloat.enabled": "true",
        "taskmanager.network.memory.buffer-debloat.target": "300 ms",
        # A question in SQL sorts little; the default takes 16 MiB of buffers for each of its exchanges and then finds none.
        "taskmanager.network.sort-shuffle.min-buffers": "32",
        # Python SQL jobs otherwise load the same jars in a class loader each, and fill the metaspace.
        "classloader.resolve-order": "parent-first",
        "classloader.check-leaked-classloader": "false",
        "python.executable": address.python,
        "python.client.executable": address.python,
    }
    return {**options, **settings.flink.conf}


def _network(address: ClusterAddress) -> dict[str, str]:
    return {
        "jobmanager.rpc.address": address.host,
        "jobmanager.rpc.port": str(address.rpc_port),
        "jobmanager.bind-host": address.bind_host,
        "rest.address": address.host,
        "rest.bind-address": address.bind_host,
        "rest.port": str(address.rest_port),
        "taskmanager.host": address.taskmanager_host,
        "taskmanager.bind-host": address.bind_host,
        # Nobody uploads a jar through the web page: with it, whoever reaches the port runs code.
        "web.submit.enable": "false",
        "web.cancel.enable": "false",
        # A process that was killed is noticed in seconds, not in the default's 50.
        "heartbeat.interval": "2 s",
        "heartbeat.timeout": "10 s",
        # Flink's own retry while its TaskManager is being started again.
        "slot.request.timeout": "300000",
    }


def _jobs(settings: Settings, address: ClusterAddress) -> dict[str, str]:
    return {
        "parallelism.default": str(settings.flink.parallelism),
        "execution.buffer-timeout.interval": "5 ms",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms} ms",
        "execution.checkpointing.min-pause": f"{max(settings.checkpoint_interval_ms // 2, 50)} ms",
        "execution.checkpointing.timeout": "60 s",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
        # `up` finds these again after a crash of the JobManager; `down` leaves a savepoint instead.
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": "3",
        "execution.checkpointing.dir": f"file://{address.state_folder}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{address.state_folder}/savepoints",
        "state.backend.type": settings.flink.state_backend,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "15 s",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "2 min",
    }


def _metrics(settings: Settings) -> dict[str, str]:
    """Return the options of the Prometheus reporter, whose plugin the wheel carries; none where no port is set."""
    if settings.flink.metrics_ports is None:
        return {}
    reporter = "metrics.reporter.prom"
    return {
        f"{reporter}.factory.class": "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
        f"{reporter}.port": settings.flink.metrics_ports,
        # New with each restart of a task, so each would begin new series.
        f"{reporter}.scope.variables.excludes": "task_attempt_id;task_attempt_num",
    }


def render_yaml(options: Mapping[str, str]) -> str:
    """Return the text of Flink's `config.yaml`."""
    return "".join(f"{key}: {_scalar(value)}\n" for key, value in sorted(options.items()))


def _scalar(value: str) -> str:
    # A JSON string is a YAML scalar, except that JSON writes what is beyond 16 bits as two halves.
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if " " <= c <= "~" else f"\\U{ord(c):08x}" for c in quoted)


def wheel_folder() -> Path:
    """Return the Flink distribution inside the apache-flink wheel."""
    return Path(pyflink.__file__).parent


def module_flags(wheel: Path) -> tuple[str, ...]:
    """Return the `--add-opens`/`--add-exports` flags Flink needs, as its own config.yaml lists them."""
    for line in (wheel / "conf" / "config.yaml").read_text(encoding="utf-8").splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "all":
            return tuple(value.split())
    return ()


_LOG4J_LEVELS: Final = """\
rootLogger.level = INFO
appender.main.name = MAIN
appender.main.layout.type = PatternLayout
appender.main.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c - %m%n
rootLogger.appenderRef.main.ref = MAIN
# Two lines a second for ever otherwise, one checkpoint each.
logger.checkpoints.name = org.apache.flink.runtime.checkpoint.CheckpointCoordinator
logger.checkpoints.level = WARN
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.shadedkafka.name = org.apache.flink.kafka.shaded
logger.shadedkafka.level = WARN
# Both write the whole environment of a Python process, whatever secrets it holds.
logger.beam.name = org.apache.beam
logger.beam.level = WARN
logger.pythonenv.name = org.apache.flink.client.python.PythonEnvUtils
logger.pythonenv.level = WARN
logger.netty.name = org.jboss.netty.channel.DefaultChannelPipeline
logger.netty.level = OFF
"""

SERVER_LOG4J: Final = f"""\
# Standard output goes to logs/<process>.log.
appender.main.type = Console
{_LOG4J_LEVELS}"""

CLIENT_LOG4J: Final = f"""\
# A client's standard output is for its user; what it logs goes to logs/flink-client.log.
appender.main.type = File
appender.main.append = true
appender.main.fileName = ${{sys:log.file}}
{_LOG4J_LEVELS}"""
