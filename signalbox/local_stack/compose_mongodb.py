"""The compose profile `mongodb`: MongoDB as a replica set of one, and Kafka Connect with MongoDB's source connector.

At least once, as that connector is: a lead may come again after a crash. `signalbox source mongodb` sends each one once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from signalbox.topics import INCOMING_LEADS

MONGODB_IMAGE: Final = "mongo:8.0"
MONGODB_PORT: Final = 27017
PROFILE: Final = "mongodb"
STATE: Final = "/var/lib/signalbox"
PLUGINS: Final = f"{STATE}/connect-plugins"
VOLUMES: Final[dict[str, dict[str, str]]] = {"mongodb-data": {}, "connect-data": {}}

_STRING: Final = "org.apache.kafka.connect.storage.StringConverter"
_INITIATE: Final = (
    "try { rs.status().ok } catch (error) "
    f"{{ rs.initiate({{_id: 'rs0', members: [{{_id: 0, host: 'mongodb:{MONGODB_PORT}'}}]}}).ok }}"
)
# The key is the document's id alone, so that it can be the conversation; by default it would be the resume token.
_KEY_SCHEMA: Final = {
    "type": "record",
    "name": "key",
    "fields": [
        {
            "name": "documentKey",
            "type": {
                "type": "record",
                "name": "documentKey",
                "fields": [{"name": "_id", "type": "string"}],
            },
        }
    ],
}

CONNECTOR: Final[dict[str, str]] = {
    "name": "leads-from-mongodb",
    "connector.class": "com.mongodb.kafka.connect.MongoSourceConnector",
    "tasks.max": "1",
    "connection.uri": f"mongodb://mongodb:{MONGODB_PORT}/?replicaSet=rs0",
    "database": "signalbox",
    "collection": "leads",
    "pipeline": json.dumps([{"$match": {"operationType": "insert"}}]),
    "publish.full.document.only": "true",
    "topic.namespace.map": json.dumps({"*": INCOMING_LEADS}),
    "startup.mode": "latest",
    "output.format.key": "schema",
    "output.schema.key": json.dumps(_KEY_SCHEMA),
    "output.format.value": "json",
    "output.json.formatter": "com.mongodb.kafka.connect.source.json.formatter.SimplifiedJson",
    "transforms": "document,id",
    "transforms.document.type": "org.apache.kafka.connect.transforms.ExtractField$Key",
    "transforms.document.field": "documentKey",
    "transforms.id.type": "org.apache.kafka.connect.transforms.ExtractField$Key",
    "transforms.id.field": "_id",
}
"""What the source connector is told; a test asks the connector itself about it."""


def worker(bootstrap_servers: str) -> dict[str, str]:
    """Return the configuration of a Connect worker on its own; its REST API stays in the container."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "listeners": "http://127.0.0.1:8083",
        "key.converter": _STRING,
        "value.converter": _STRING,
        "offset.storage.file.filename": "/var/lib/kafka/data/connect.offsets",
        "offset.flush.interval.ms": "1000",
        "plugin.path": PLUGINS,
    }


def services(
    ours: dict[str, Any], kafka_image: str, healthcheck: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """Return the profile's services; `ours` is a service of our own image to fetch the pinned jars with."""
    return {
        "mongodb": {
            "image": MONGODB_IMAGE,
            "profiles": [PROFILE],
            "command": ["--replSet", "rs0", "--bind_ip_all"],
            "ports": [f"127.0.0.1:${{MONGODB_PORT:-{MONGODB_PORT}}}:{MONGODB_PORT}"],
            "volumes": ["mongodb-data:/data/db"],
            "healthcheck": healthcheck(f'mongosh --quiet --eval "{_INITIATE}"'),
            "restart": "unless-stopped",
        },
        "connect-plugins": {
            # Once is enough: without `restart` it is not started again.
            **{name: value for name, value in ours.items() if name != "restart"},
            "profiles": [PROFILE],
            "entrypoint": ["python", "-m", "connectors.jars"],
            "command": ["connect", PLUGINS],
            "environment": {"XDG_CACHE_HOME": f"{STATE}/cache"},
        },
        "connect": {
            "image": kafka_image,
            "platform": ours["platform"],
            "profiles": [PROFILE],
            "command": [
                "/opt/kafka/bin/connect-standalone.sh",
                "/connect/worker.properties",
                "/connect/source.properties",
            ],
            "configs": [
                {"source": "connect-worker", "target": "/connect/worker.properties"},
                {"source": "connect-source", "target": "/connect/source.properties"},
            ],
            "volumes": [f"signalbox-state:{STATE}:ro", "connect-data:/var/lib/kafka/data"],
            "depends_on": {
                "kafka": {"condition": "service_healthy"},
                "mongodb": {"condition": "service_healthy"},
                "jobs": {"condition": "service_started"},
                "connect-plugins": {"condition": "service_completed_successfully"},
            },
            "restart": "unless-stopped",
        },
    }


def configs(bootstrap_servers: str) -> dict[str, Any]:
    """Return the two files that Connect is started with."""
    return {
        "connect-worker": {"content": properties_text(worker(bootstrap_servers))},
        "connect-source": {"content": properties_text(CONNECTOR)},
    }


def properties_text(properties: dict[str, str]) -> str:
    """Return Java properties as compose takes them: a `$` is doubled, or it would be a variable's."""
    return "".join(f"{name}={value}\n" for name, value in properties.items()).replace("$", "$$")
