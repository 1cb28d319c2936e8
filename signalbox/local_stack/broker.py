"""The Kafka broker: one KRaft node (broker and controller), Apache Kafka's own main class, all data in one folder."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors import topic_admin
from signalbox.errors import StackError
from signalbox.local_stack import ports
from signalbox.local_stack.java import Java, native_memory_environ
from signalbox.local_stack.process import ProcessSpec

HEAP_MB: Final = 256
NODE_ID: Final = 1

LARGEST_RECORD_BYTES: Final = 2 * 1024 * 1024
"""The dead-letter topic's limit; fetches must be able to return one such record."""

BROKER_PROPERTIES: Final[dict[str, str]] = {
    # Topics come from signalbox.topics only: a typing error must not make one.
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    # One node, so one replica of everything, the transaction log included.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # The sink's transactions may stay open for a checkpoint and a restart (at most 120 s); the default allows 15 min.
    "transaction.max.timeout.ms": "900000",
    # A first consumer of a group need not wait for others to join.
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": str(LARGEST_RECORD_BYTES),
    "replica.fetch.max.bytes": str(LARGEST_RECORD_BYTES),
    # An offset of an agent that is paused for a month is still there.
    "offsets.retention.minutes": str(30 * 24 * 60),
    "log.retention.check.interval.ms": "60000",
    # Registry changes become visible to new readers soon, and the compacted topic stays small.
    "log.cleaner.dedupe.buffer.size": "16777216",
    "group.coordinator.rebalance.protocols": "classic,consumer",
}
"""What every broker of ours is told, the local one and the one in docker-compose.yml alike."""

_LOG4J_PROPERTIES: Final = """\
# The supervisor writes standard output to logs/broker.log.
rootLogger.level = INFO
rootLogger.appenderRef.stdout.ref = STDOUT
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c - %m%n
logger.fetch.name = org.apache.kafka.clients.NetworkClient
logger.fetch.level = WARN
"""


@dataclass(frozen=True)
class BrokerPlan:
    """Where one broker keeps its files and listens, and what runs it. `class_path`: Kafka's jars and a log4j binding.

    `more_properties` win over ours and `format_arguments` go to the storage tool: a broker with a login, in tests.
    `advertised_port`: where clients are sent to, if not to `port`: a proxy in between, on this machine.
    """

    folder: Path
    port: int
    controller_port: int
    java: Java
    class_path: Sequence[Path]
    log_path: Path
    more_properties: Mapping[str, str] = field(default_factory=dict)
    format_arguments: Sequence[str] = ()
    advertised_port: int | None = None

    @property
    def data_folder(self) -> Path:
        """Where the log segments are."""
        return self.folder / "data"

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients."""
        return f"{ports.LOOPBACK}:{self.advertised_port or self.port}"

    def properties(self) -> dict[str, str]:
        """Return `server.properties` as key → value."""
        host = ports.LOOPBACK
        return {
            "process.roles": "broker,controller",
            "node.id": str(NODE_ID),
            "controller.quorum.voters": f"{NODE_ID}@{host}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{host}:{self.port},CONTROLLER://{host}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{host}:{self.advertised_port or self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data_folder),
            **BROKER_PROPERTIES,
            **self.more_properties,
        }


def prepare(plan: BrokerPlan) -> None:
    """Write the configuration, and format the data folder if it never was.

    Raises:
        StackError: Kafka's storage tool refused; with what it said.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    _properties_path(plan).write_text(
        "".join(f"{key}={value}\n" for key, value in plan.properties().items()), encoding="utf-8"
    )
    _log4j_path(plan).write_text(_LOG4J_PROPERTIES, encoding="utf-8")
    if (plan.data_folder / "meta.properties").is_file():
        return
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(
        [
            *_java(plan, heap_mb=128),
            "kafka.tools.StorageTool",
            "format",
            # One word: one id in 64 begins with a dash and would be read as an option of its own.
            f"--cluster-id={cluster_id}",
            "--config",
            str(_properties_path(plan)),
            *plan.format_arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        msg = (
            f"Kafka's data folder {plan.data_folder} could not be formatted: "
            f"{(done.stderr or done.stdout).strip()[-500:]}"
        )
        raise StackError(msg)


def spec(plan: BrokerPlan) -> ProcessSpec:
    """Return how to run the broker; ready once it answers a metadata request."""
    return ProcessSpec(
        name="broker",
        argv=(*_java(plan, heap_mb=HEAP_MB), "kafka.Kafka", str(_properties_path(plan))),
        log_path=plan.log_path,
        environ=native_memory_environ(),
        ready=lambda: _answers(plan.bootstrap_servers, plan.port),
        # A clean shutdown writes out every segment and the producers' state; a kill costs a recovery at the next start.
        stop_seconds=8.0,
    )


def _answers(servers: str, port: int) -> bool:
    # The client would log an error for every attempt while nobody listens yet.
    return ports.is_listening(port) and topic_admin.answers(servers)


def _java(plan: BrokerPlan, *, heap_mb: int) -> tuple[str, ...]:
    return (
        str(plan.java.executable),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-Dlog4j2.configurationFile={_log4j_path(plan)}",
        "-cp",
        ":".join(str(path) for path in plan.class_path),
    )


def _properties_path(plan: BrokerPlan) -> Path:
    return plan.folder / "server.properties"


def _log4j_path(plan: BrokerPlan) -> Path:
    return plan.folder / "log4j2.properties"
