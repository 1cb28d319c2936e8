"""docker-compose.yml as data: the stack's processes as services, made of the same settings, ports and broker options.

`python -m signalbox.local_stack.compose` prints the file; a test compares it with the one in the repository.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final

from ruamel.yaml import YAML

from connectors import jars
from signalbox.kafka_settings import KafkaSecuritySettings
from signalbox.local_stack import compose_mongodb, compose_observability
from signalbox.local_stack.broker import BROKER_PROPERTIES, NODE_ID
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.flink_config import METRICS_PORT
from signalbox.settings import Settings

PLATFORM: Final = "linux/amd64"
HOME: Final = "/var/lib/signalbox"
DROP_FOLDER: Final = "/leads"
BROKER_PORT: Final = 19092
"""The broker's port inside the containers' network; outside it is `SIGNALBOX_KAFKA__PORT` on loopback."""

PASSED_ON: Final = (
    "FLINK__PARALLELISM",
    "FLINK__PYTHON_EXECUTION_MODE",
    "FLINK__STATE_BACKEND",
    "FLINK__CONF",
    "MODEL__TIMEOUT_SECONDS",
    "MODEL__MAX_ATTEMPTS",
    "MODEL__MAX_TOKENS",
    "EMBEDDER__PROVIDER",
    "EMBEDDER__BASE_URL",
    "EMBEDDER__NAME",
    "EMBEDDER__TIMEOUT_SECONDS",
    "EMBEDDER__MAX_TOKENS",
    "ROUTING__POLICY",
    "ROUTING__MAX_WAITING",
    "ROUTING__SILENT_AFTER_SECONDS",
)
"""What every service of ours takes from the person's environment where it is set there, and only then."""

WEBSITE: Final = ("FETCH", "TIMEOUT_SECONDS", "MAX_BYTES", "MAX_REDIRECTS")
NOT_PASSED_ON: Final = frozenset(
    {
        *(f"GATEWAY__{name}" for name in ("ENABLED", "KEYS_FILE")),
        "EMBEDDER__CACHE_FOLDER",
        "MODEL__API_KEY_FILE",
        *(f"SMTP__{name}" for name in ("PASSWORD_FILE", "CA_FILE")),
        "MONGODB__URI_FILE",
        "KAFKA__TOPIC_PREFIX",
        "KAFKA__GROUP_PREFIX",
        *(f"KAFKA__SECURITY__{name.upper()}" for name in KafkaSecuritySettings.model_fields),
    }
)
"""Files and folders of the host, which no container sees; how to share or enter a broker, because this one is its own."""

HEADER: Final = """\
# The local stack as containers: the same processes, settings and topics as `signalbox up`, for machines on which the
# wheels of apache-flink do not install (Apple silicon, arm64 Linux, Python 3.13).
#
#   docker compose up --build              everything
#   docker compose --profile ollama up     with an Ollama beside it (SIGNALBOX_MODEL__PROVIDER=ollama)
#   docker compose --profile mongodb up    with MongoDB and Kafka Connect's MongoDB source: documents become leads
#   docker compose --profile observability up    with Prometheus and Grafana: http://127.0.0.1:3000 (dashboards/README.md)
#   docker compose --profile sources up    with our own sources: MongoDB (exactly once), drop folder, due mails
#
# Not mongodb's Connect and our MongoDB source on one collection: each lead would come twice.
#
# Written by `python -m signalbox.local_stack.compose`; change that, not this.
"""


def kafka_image() -> str:
    """Return the broker's image, of the version whose jars `signalbox up` runs."""
    version = next(jar.version for jar in jars.locked("kafka") if jar.artifact == "kafka_2.13")
    return f"apache/kafka:{version}"


def kafka_environment() -> dict[str, str]:
    """Return the broker's configuration as the image takes it: `num.partitions` is `KAFKA_NUM_PARTITIONS`."""
    host_port = f"${{SIGNALBOX_KAFKA__PORT:-{Settings.model_fields['kafka'].default.port}}}"
    properties = {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:9093",
        "listeners": f"INTERNAL://:{BROKER_PORT},HOST://:9092,CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"INTERNAL://kafka:{BROKER_PORT},HOST://127.0.0.1:{host_port}",
        "listener.security.protocol.map": "INTERNAL:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "/var/lib/kafka/data",
        **BROKER_PROPERTIES,
    }
    return {f"KAFKA_{key.replace('.', '_').upper()}": value for key, value in properties.items()}


def compose_file() -> dict[str, Any]:
    """Return the whole file as data."""
    defaults = Settings.model_construct()
    return {
        "name": "signalbox",
        "services": {
            "kafka": _kafka(defaults),
            "jobmanager": {
                **_ours("jobmanager"),
                "ports": [_port("SIGNALBOX_FLINK__REST_PORT", defaults.flink.rest_port)],
                "healthcheck": _healthcheck(
                    f"python -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:{defaults.flink.rest_port}/overview')\""
                ),
            },
            "taskmanager": {
                **_ours("taskmanager"),
                "depends_on": {"jobmanager": {"condition": "service_healthy"}},
            },
            "jobs": {
                **_ours("jobs"),
                "depends_on": {
                    "kafka": {"condition": "service_healthy"},
                    "jobmanager": {"condition": "service_healthy"},
                },
                # Savepoints are taken on the way down.
                "stop_grace_period": "30s",
            },
            "agents": {
                **_ours("agents"),
                "environment": {
                    **settings_environment(),
                    **smtp_environment(),
                    **metrics_environment("agents"),
                    **_as_it_is(f"WEBSITE__{name}" for name in WEBSITE),
                },
                "depends_on": {"kafka": {"condition": "service_healthy"}},
                "stop_grace_period": "20s",
            },
            "gateway": {
                **_ours("gateway"),
                "environment": {
                    **settings_environment(),
                    **gateway_environment(),
                    **metrics_environment("gateway"),
                },
                "ports": [_port("SIGNALBOX_GATEWAY__PORT", defaults.gateway.port)],
                "depends_on": {"kafka": {"condition": "service_healthy"}},
            },
            "ollama": {
                "image": "ollama/ollama:latest",
                "profiles": ["ollama"],
                "ports": [_port("OLLAMA_PORT", 11434)],
                "volumes": ["ollama-models:/root/.ollama"],
                "restart": "unless-stopped",
            },
            "sources": {
                **_ours("sources"),
                "profiles": ["sources"],
                "environment": {
                    **settings_environment(),
                    **smtp_environment(),
                    **sources_environment(),
                },
                "volumes": [
                    f"signalbox-state:{HOME}",
                    f"${{SIGNALBOX_FOLDER__PATH:-./leads}}:{DROP_FOLDER}",
                ],
                "depends_on": {"jobs": {"condition": "service_started"}},
            },
            **compose_observability.services(f"signalbox-state:{HOME}"),
            **compose_mongodb.services(_ours("jobs"), kafka_image(), _healthcheck),
        },
        "volumes": {
            "kafka-data": {},
            "signalbox-state": {},
            "ollama-models": {},
            **compose_observability.VOLUMES,
            **compose_mongodb.VOLUMES,
        },
        "configs": compose_mongodb.configs(f"kafka:{BROKER_PORT}"),
    }


def _kafka(defaults: Settings) -> dict[str, Any]:
    return {
        "image": kafka_image(),
        "platform": PLATFORM,
        "environment": kafka_environment(),
        "ports": [_port("SIGNALBOX_KAFKA__PORT", defaults.kafka.port)],
        "volumes": ["kafka-data:/var/lib/kafka/data"],
        "healthcheck": _healthcheck(
            f"/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server 127.0.0.1:{BROKER_PORT}"
        ),
        "restart": "unless-stopped",
    }


def _ours(role: str) -> dict[str, Any]:
    return {
        "image": "signalbox:local",
        "build": {"context": ".", "dockerfile": "deploy/Dockerfile", "platforms": [PLATFORM]},
        "platform": PLATFORM,
        "command": [role],
        "environment": settings_environment(),
        "volumes": [f"signalbox-state:{HOME}"],
        "restart": "unless-stopped",
    }


def settings_environment() -> dict[str, str | None]:
    """Return the settings of our services: fixed addresses, the rest from the person's environment or the default."""
    chosen = {
        "SIGNALBOX_FLEETS": "sdr",
        "SIGNALBOX_DELIVERY": "at_least_once",
        "SIGNALBOX_CHECKPOINT_INTERVAL_MS": "1000",
        "SIGNALBOX_MODEL__PROVIDER": "embedded",
        "SIGNALBOX_MODEL__BASE_URL": "http://ollama:11434",
        "SIGNALBOX_MODEL__NAME": "",
        "SIGNALBOX_MODEL__API_KEY": "",
        "SIGNALBOX_MODEL__MAX_IN_FLIGHT": "64",
    }
    return {
        "SIGNALBOX_HOME": HOME,
        "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": f"kafka:{BROKER_PORT}",
        # Open in the containers' network alone.
        "SIGNALBOX_FLINK__METRICS_PORTS": str(METRICS_PORT),
        **{key: f"${{{key}:-{default}}}" for key, default in chosen.items()},
        **_as_it_is(PASSED_ON),
    }


def _as_it_is(names: Iterable[str]) -> dict[str, str | None]:
    # Compose takes a variable without a value from the person's environment or .env, and leaves it out where it is not set.
    return dict.fromkeys(f"SIGNALBOX_{name}" for name in names)


def sources_environment() -> dict[str, str | None]:
    """Return what the sources need besides: nothing runs but what a person sets, the drop folder excepted."""
    passed_on = ("MONGODB__URI", "MONGODB__DATABASE", "MONGODB__COLLECTION")
    defaults = environment_of(Settings.model_construct())
    return {
        "SIGNALBOX_FOLDER__PATH": DROP_FOLDER,
        **{
            key: f"${{{key}:-{defaults.get(key, '')}}}"
            for key in (f"SIGNALBOX_{name}" for name in passed_on)
        },
        **_as_it_is(
            ("LEADS__RENAME", "MONGODB__ON_HISTORY_LOST", "FOLDER__NAME", "FOLDER__SETTLE_SECONDS")
        ),
    }


def gateway_environment() -> dict[str, str | None]:
    """Return what the gateway needs besides.

    It listens to everybody in the containers' network, and nobody there is loopback; its port is open on this machine's alone.
    """
    return {
        "SIGNALBOX_GATEWAY__HOST": "0.0.0.0",
        "SIGNALBOX_GATEWAY__KEYLESS": "${SIGNALBOX_GATEWAY__KEYLESS:-anyone}",
        **_as_it_is(("TRACES__ENDPOINT",)),
        "SIGNALBOX_GATEWAY__FLINK_URL": f"http://jobmanager:{Settings.model_construct().flink.rest_port}",
        **_as_it_is(
            f"GATEWAY__{name}" for name in ("ACK_SECONDS", "MAX_WAITING", "MAX_REQUESTS_PER_SECOND")
        ),
    }


def metrics_environment(service: str) -> dict[str, str | None]:
    """Return where a service's processes answer Prometheus: to the containers' network, told in the volume that all share."""
    return {
        "SIGNALBOX_METRICS__HOST": "0.0.0.0",
        "SIGNALBOX_METRICS__PORT": "0",
        "SIGNALBOX_METRICS__ADVERTISED_HOST": service,
        **_as_it_is(("METRICS__ENABLED",)),
    }


def smtp_environment() -> dict[str, str | None]:
    """Return the mail server of the person's environment; Send Email runs in `agents`, due mails in `sources`."""
    names = ("HOST", "PORT", "SECURITY", "USER", "PASSWORD", "SENDER")
    defaults = environment_of(Settings.model_construct())
    return {
        **{
            key: f"${{{key}:-{defaults.get(key, '')}}}"
            for key in (f"SIGNALBOX_SMTP__{n}" for n in names)
        },
        **_as_it_is(("SMTP__TIMEOUT_SECONDS", "SMTP__WHEN_UNCERTAIN")),
    }


def _port(setting: str, default: int) -> str:
    # Loopback: nothing of the stack asks who is calling.
    return f"127.0.0.1:${{{setting}:-{default}}}:{default}"


def _healthcheck(command: str) -> dict[str, Any]:
    return {
        "test": ["CMD-SHELL", command],
        "interval": "5s",
        "timeout": "5s",
        "retries": 24,
        "start_period": "20s",
    }


def main() -> None:
    """Print docker-compose.yml."""
    yaml = YAML()
    yaml.width = 200
    sys.stdout.write(HEADER)
    yaml.dump(compose_file(), sys.stdout)


if __name__ == "__main__":
    main()
