"""Where everything of one stack is: folders under its home, ports, jars, Java. Made from the settings at `up`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors import jars
from signalbox.local_stack import flink_config, ports
from signalbox.local_stack.broker import BrokerPlan
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.flink_cluster import ClusterPlan
from signalbox.local_stack.java import Java
from signalbox.settings import Settings

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent.parent
ORCHESTRATE: Final = PROJECT_ROOT / "flink_jobs" / "orchestrate.py"


@dataclass(frozen=True)
class Layout:
    """One stack. `broker` is None where an outside broker is used."""

    settings: Settings
    home: Path
    broker: BrokerPlan | None
    cluster: ClusterPlan

    @property
    def logs(self) -> Path:
        """`<home>/logs`."""
        return self.home / "logs"

    def environ(self) -> dict[str, str]:
        """Return the settings as environment variables, for agents."""
        return environment_of(self.settings)


def home_of(settings: Settings) -> Path:
    """Return the stack's home as an absolute path."""
    return settings.home.absolute()


def layout_of(settings: Settings, java: Java) -> Layout:
    """Return the stack of these settings; downloads the jars that are missing.

    Raises:
        StackError: a jar cannot be downloaded.
    """
    home = home_of(settings)
    environ = environment_of(settings)
    broker = None
    if settings.kafka.bootstrap_servers is None:
        broker = BrokerPlan(
            folder=home / "kafka",
            port=settings.kafka.port,
            controller_port=ports.free_port(),
            java=java,
            class_path=broker_class_path(),
            log_path=home / "logs" / "broker.log",
        )
    cluster = ClusterPlan(
        folder=home / "flink",
        logs=home / "logs",
        settings=settings,
        rest_port=settings.flink.rest_port,
        rpc_port=ports.free_port(),
        java=java,
        extra_jars=jars.ensure("flink"),
        environ=environ,
    )
    return Layout(settings, home, broker, cluster)


def broker_class_path() -> tuple[Path, ...]:
    """Return Kafka's jars and, from the Flink wheel, the binding that lets Kafka log through log4j."""
    binding = (flink_config.wheel_folder() / "lib").glob("log4j-slf4j-impl*.jar")
    return (*jars.ensure("kafka"), *binding)
