"""Kafka for Strimzi (API v1, KRaft): the cluster, its nodes, topics out of `signalbox.topics`, users with their ACLs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from connectors.topic_admin import topic_config
from signalbox.kubernetes import access
from signalbox.kubernetes.access import Rule
from signalbox.kubernetes.parts import KAFKA_CLUSTER, LISTENER_PORT, Manifest, metadata
from signalbox.local_stack.broker import BROKER_PROPERTIES
from signalbox.settings import Settings
from signalbox.topics import TOPICS, agent_tasks, full_name, spec_of

API: Final = "kafka.strimzi.io/v1"
NODES: Final = 3
REPLICAS: Final = 3
MIN_IN_SYNC: Final = 2

_ONE_CLUSTER: Final = {"strimzi.io/cluster": KAFKA_CLUSTER}

# What one local node does with one replica; a cluster keeps three and writes to two before it acknowledges.
_REPLICATION: Final[dict[str, Any]] = {
    "default.replication.factor": REPLICAS,
    "min.insync.replicas": MIN_IN_SYNC,
    "offsets.topic.replication.factor": REPLICAS,
    "transaction.state.log.replication.factor": REPLICAS,
    "transaction.state.log.min.isr": MIN_IN_SYNC,
    "share.coordinator.state.topic.replication.factor": REPLICAS,
    "share.coordinator.state.topic.min.isr": MIN_IN_SYNC,
}
# Sized for one small node, or wrong for more than one.
_LOCAL_ONLY: Final = frozenset(
    {
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
        "log.cleaner.dedupe.buffer.size",
        "log.retention.check.interval.ms",
        "group.initial.rebalance.delay.ms",
    }
)


def cluster() -> list[Manifest]:
    """Return the cluster and its two node pools: three controllers, three brokers."""
    properties = {key: value for key, value in BROKER_PROPERTIES.items() if key not in _LOCAL_ONLY}
    kafka = {
        "listeners": [
            {
                "name": "tls",
                "port": LISTENER_PORT,
                "type": "internal",
                "tls": True,
                "authentication": {"type": "scram-sha-512"},
            }
        ],
        "authorization": {"type": "simple"},
        "config": {**properties, **_REPLICATION},
        # One replica on each of three machines, where the nodes are labelled with zones.
        "rack": {"topologyKey": "topology.kubernetes.io/zone"},
    }
    return [
        _node_pool("controllers", "controller", size="10Gi", memory="1Gi"),
        _node_pool("brokers", "broker", size="100Gi", memory="4Gi"),
        {
            "apiVersion": API,
            "kind": "Kafka",
            "metadata": metadata(KAFKA_CLUSTER),
            "spec": {"kafka": kafka, "entityOperator": {"topicOperator": {}, "userOperator": {}}},
        },
    ]


def _node_pool(name: str, role: str, *, size: str, memory: str) -> Manifest:
    volume = {
        "id": 0,
        "type": "persistent-claim",
        "size": size,
        "deleteClaim": False,
        "kraftMetadata": "shared",
    }
    return {
        "apiVersion": API,
        "kind": "KafkaNodePool",
        "metadata": metadata(name, **_ONE_CLUSTER),
        "spec": {
            "replicas": NODES,
            "roles": [role],
            "storage": {"type": "jbod", "volumes": [volume]},
            "resources": {
                "requests": {"cpu": "500m", "memory": memory},
                "limits": {"memory": memory},
            },
        },
    }


def topics(settings: Settings, agents: Iterable[str]) -> list[Manifest]:
    """Return one KafkaTopic for each fixed topic and each agent's tasks, with the prefix of the settings."""
    prefix = settings.kafka.topic_prefix
    return [_topic(prefix, name) for name in (*TOPICS, *map(agent_tasks, sorted(agents)))]


def _topic(prefix: str, base_name: str) -> Manifest:
    spec = spec_of(base_name)
    name = full_name(prefix, base_name)
    return {
        "apiVersion": API,
        "kind": "KafkaTopic",
        # Kubernetes knows no underscore in a name.
        "metadata": metadata(name.lower().replace("_", "-"), **_ONE_CLUSTER),
        "spec": {
            "topicName": name,
            "partitions": spec.partitions,
            "replicas": REPLICAS,
            "config": {**topic_config(spec), "min.insync.replicas": MIN_IN_SYNC},
        },
    }


def users(settings: Settings) -> list[Manifest]:
    """Return one KafkaUser for each of `access.USERS`; Strimzi writes its password into a Secret of the same name."""
    kafka = settings.kafka
    return [
        {
            "apiVersion": API,
            "kind": "KafkaUser",
            "metadata": metadata(user, **_ONE_CLUSTER),
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {
                    "type": "simple",
                    "acls": [
                        _acl(rule)
                        for rule in access.rules(
                            user,
                            topic_prefix=kafka.topic_prefix,
                            group_prefix=kafka.group_prefix,
                        )
                    ],
                },
            },
        }
        for user in access.USERS
    ]


def _acl(rule: Rule) -> Manifest:
    resource: Manifest = {"type": rule.resource}
    if rule.resource != "cluster":
        resource |= {"name": rule.name, "patternType": "prefix" if rule.is_prefix else "literal"}
    return {"resource": resource, "operations": list(rule.operations), "host": "*"}
