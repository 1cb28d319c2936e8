"""Kafka Connect's MongoDB source as compose configures it, asked itself: the real connector's classes in a real JVM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from connectors import jars
from signalbox.local_stack.compose_mongodb import CONNECTOR
from signalbox.local_stack.java import find_java

pytestmark = pytest.mark.integration

EVENT = """{"_id": {"_data": "82AB"}, "operationType": "insert", "documentKey": {"_id": {"$oid": "65f0a1b2c3d4e5f60718293a"}},
"ns": {"db": "signalbox", "coll": "leads"}, "fullDocument": {"_id": {"$oid": "65f0a1b2c3d4e5f60718293a"}, "name": "Ada",
"n": {"$numberDecimal": "1.10"}, "at": {"$date": "2026-01-02T03:04:05.678Z"}}}"""


@pytest.fixture(scope="module")
def jvm() -> Iterator[Any]:
    """A JVM with the connector and what it needs of Kafka."""
    path = [*jars.ensure("connect"), *jars.ensure("connect-api"), *jars.ensure("kafka")]
    java = str(find_java().home / "bin" / "java")
    port = launch_gateway(classpath=":".join(map(str, path)), java_path=java, die_on_exit=True)
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    yield gateway.jvm
    gateway.shutdown()


def java_map(jvm: Any, properties: dict[str, str]) -> Any:
    made = jvm.java.util.HashMap()
    for name, value in properties.items():
        made.put(name, value)
    return made


def config(jvm: Any) -> Any:
    return jvm.com.mongodb.kafka.connect.source.MongoSourceConfig


def complaints(jvm: Any, properties: dict[str, str]) -> dict[str, list[str]]:
    """What the connector says against a configuration."""
    judged = config(jvm).CONFIG.validate(java_map(jvm, properties))
    return {one.name(): list(one.errorMessages()) for one in judged if one.errorMessages()}


def test_connector_takes_the_configuration_whole(jvm: Any) -> None:
    """It has nothing against any value, and knows every property; a wrong value it would name."""
    of_connect = {"name", "connector.class", "tasks.max"}
    ours = {name for name in CONNECTOR if not name.startswith("transforms")} - of_connect

    assert complaints(jvm, CONNECTOR) == {}
    assert ours <= set(config(jvm).CONFIG.names())
    assert "startup.mode" in complaints(jvm, {**CONNECTOR, "startup.mode": "nonsense"})


def test_connector_makes_a_lead_of_an_insert(jvm: Any) -> None:
    """Topic, key and value are those of a lead: the document as a form's JSON, under its id."""
    made = config(jvm)(java_map(jvm, CONNECTOR))
    event = jvm.org.bson.BsonDocument.parse(EVENT)
    producers = jvm.com.mongodb.kafka.connect.source.producer.SchemaAndValueProducers
    key = producers.createKeySchemaAndValueProvider(made).get(event)
    value = producers.createValueSchemaAndValueProvider(made).get(event.getDocument("fullDocument"))
    record = jvm.org.apache.kafka.connect.source.SourceRecord(
        None, None, made.getTopicMapper().getTopic(event), key.schema(), key.value(), value.schema(), value.value()
    )  # fmt: skip
    for name in CONNECTOR["transforms"].split(","):
        transform = jvm.java.lang.Class.forName(CONNECTOR[f"transforms.{name}.type"]).newInstance()
        transform.configure(java_map(jvm, {"field": CONNECTOR[f"transforms.{name}.field"]}))
        record = transform.apply(record)

    assert record.topic() == "incoming_leads"
    assert record.key() == "65f0a1b2c3d4e5f60718293a"
    assert record.value() == (
        '{"_id": "65f0a1b2c3d4e5f60718293a", "name": "Ada", "n": "1.10", "at": "2026-01-02T03:04:05.678Z"}'
    )
