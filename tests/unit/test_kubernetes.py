"""deploy/kubernetes: made from the code, valid against the published schemas, and no typing error gets through."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import pytest
from ruamel.yaml import YAML

from connectors.topic_admin import topic_config
from signalbox.kubernetes import access, flink, kafka, manifests
from signalbox.local_stack.broker import BROKER_PROPERTIES
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.fleets import load_fleets
from signalbox.settings import Settings, TracesSettings
from signalbox.topics import TOPICS, agent_tasks, spec_of
from signalbox.tracing.exporter import GROUP

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS = ROOT / "tests" / "data" / "kubernetes"
KUBERNETES = "1.34"
# A megabyte is parsed anew for each object otherwise.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)
CUSTOM = {"kafka.strimzi.io/v1", "flink.apache.org/v1beta1"}


def load(text: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(text))


def schema_of(kind: str) -> Any:
    schema = json.loads((SCHEMAS / f"{kind.lower()}.json").read_text("utf-8"))
    if kind == "FlinkDeployment":
        # The newest published artifact of the operator's API is older than Flink 2.3; its sources list it.
        schema["properties"]["spec"]["properties"]["flinkVersion"]["enum"].append(
            flink.FLINK_VERSION
        )
    return schema


def validate(one: dict[str, Any]) -> None:
    """Raise jsonschema's error unless the object is valid and has no unknown field anywhere."""
    if one["apiVersion"] not in CUSTOM:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        return
    jsonschema.Draft202012Validator(schema_of(one["kind"])).validate(one)
    carrier = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": one["metadata"]}
    kubernetes_validate.validate(carrier, KUBERNETES, strict=True)
    if pod := one["spec"].get("podTemplate"):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.fixture(scope="module")
def objects() -> list[Any]:
    """Every object of the repository's manifests."""
    return [one for path in sorted(FOLDER.glob("*.yaml")) for one in load(path.read_text("utf-8"))]


def test_manifests_are_what_the_code_says() -> None:
    """The files in the repository are those that `python -m signalbox.kubernetes` writes."""
    settings = Settings.model_construct()
    made = manifests.manifests(settings, load_fleets(settings))

    assert sorted(path.name for path in FOLDER.glob("*.yaml")) == sorted(made)
    for name, (what, found) in made.items():
        assert (FOLDER / name).read_text("utf-8") == manifests.render(what, found), name


def test_every_manifest_is_valid(objects: list[Any]) -> None:
    """Each object follows the schema its kind was published with: Kubernetes, Strimzi, Flink's operator."""
    kinds = {one["kind"] for one in objects}

    assert kinds == {
        *("Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "FlinkDeployment"),
        *("ConfigMap", "PersistentVolumeClaim", "Service", "StatefulSet", "Job", "Deployment"),
    }
    for one in objects:
        validate(one)


def misspelt(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every field name below `node`."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            yield from misspelt(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from misspelt(value, (*path, index))


# Maps whose keys are free: options of Flink and Kafka, labels, data, sizes.
FREE = {
    *("flinkConfiguration", "logConfiguration", "config", "labels", "matchLabels", "data"),
    *("requests", "limits", "selector", "annotations"),
}


def is_free(path: tuple[Any, ...]) -> bool:
    return len(path) > 1 and path[-2] in FREE and path[-1] != "matchLabels"


def is_refused(one: dict[str, Any]) -> bool:
    try:
        validate(one)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError, KeyError):
        return True
    return False


def test_every_misspelt_field_is_noticed(objects: list[Any]) -> None:
    """Mutation: one field name after the other is misspelt, in one object of each kind, and each time it is refused."""
    tried = 0
    for kind, one in {one["kind"]: one for one in objects}.items():
        for path in misspelt(one):
            if is_free(path):
                continue
            wrong = copy.deepcopy(one)
            holder = wrong
            for step in path[:-1]:
                holder = holder[step]
            holder[f"{path[-1]}x"] = holder.pop(path[-1])
            tried += 1
            assert is_refused(wrong), f"{kind}: {path} may be misspelt"
    assert tried > 250


def test_topics_are_those_of_the_table() -> None:
    """Every fixed topic and every agent's, under its prefix, with the table's partitions and configuration."""
    settings = Settings(kafka={"topic_prefix": "blue."})
    found = {one["spec"]["topicName"]: one for one in kafka.topics(settings, ["lead_scoring"])}

    wanted = [*TOPICS, agent_tasks("lead_scoring")]
    assert list(found) == [f"blue.{name}" for name in wanted]
    for name in wanted:
        spec, table = found[f"blue.{name}"]["spec"], spec_of(name)
        assert spec["partitions"] == table.partitions
        assert (spec["replicas"], spec["config"].pop("min.insync.replicas")) == (3, 2)
        assert spec["config"] == topic_config(table)


def test_brokers_differ_from_the_local_one_in_replication_only(objects: list[Any]) -> None:
    """Sizes, auto-creation and transactions are the local broker's; what it keeps once, a cluster keeps three times."""
    (cluster,) = [one for one in objects if one["kind"] == "Kafka"]
    config = cluster["spec"]["kafka"]["config"]

    different = {key for key, value in config.items() if BROKER_PROPERTIES.get(key) != value}
    assert all("replication" in key or "isr" in key or "insync" in key for key in different)
    assert config["auto.create.topics.enable"] == "false"
    assert set(config) >= set(BROKER_PROPERTIES) - kafka._LOCAL_ONLY


def test_processes_set_settings_that_exist_and_no_secret(objects: list[Any]) -> None:
    """Every variable is one that Settings reads, and every password and key a mounted file."""
    named = environment_of(
        Settings(
            kafka={
                "bootstrap_servers": "k:1",
                "security": {
                    "protocol": "SASL_SSL",
                    "username": "u",
                    "password_file": "p",
                    "ca_file": "c",
                },
            },
            model={"api_key_file": "k", "name": "n", "base_url": "b"},
            smtp={"password_file": "p"},
            gateway={"keys_file": "k"},
        )
    )
    (shared,) = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
    text = json.dumps(objects)
    variables = {*shared, *re.findall(r'"name": "(SIGNALBOX_[A-Z_]+)"', text)}

    assert variables <= set(named)
    assert not {name for name in variables if name.endswith(("__PASSWORD", "__API_KEY"))}
    mounted = re.findall(r'"mountPath": "([^"]+)"', text)
    for name in ("PASSWORD_FILE", "CA_FILE"):
        assert str(Path(shared[f"SIGNALBOX_KAFKA__SECURITY__{name}"]).parent) in mounted


def test_jobs_keep_their_state_where_every_pod_sees_it(objects: list[Any]) -> None:
    """Checkpoints, savepoints and high availability lie in the mounted volume, one folder a job, and upgrades use savepoints."""
    deployments = [one for one in objects if one["kind"] == "FlinkDeployment"]
    folders = set()
    for one in deployments:
        options = one["spec"]["flinkConfiguration"]
        (mount,) = [
            mount["mountPath"]
            for mount in one["spec"]["podTemplate"]["spec"]["containers"][0]["volumeMounts"]
            if mount["name"] == "flink-state"
        ]
        for name in (
            "execution.checkpointing.dir",
            "execution.checkpointing.savepoint-dir",
            "high-availability.storageDir",
        ):
            assert options[name].startswith(f"file://{mount}/")
            folders.add(options[name])
        assert one["spec"]["job"]["upgradeMode"] == "savepoint"
        assert options["high-availability.type"] == "kubernetes"
    assert len(folders) == 3 * len(deployments) == 6


def test_agents_are_named_after_their_pod(objects: list[Any]) -> None:
    """Each agent of the fleet is a StatefulSet whose pod's index, which a restart keeps, is its instance; removed, it stays."""
    found = {one["metadata"]["name"]: one for one in objects if one["kind"] == "StatefulSet"}

    names = load_fleets(Settings.model_construct()).agents
    assert set(found) == {f"agent-{name.replace('_', '-')}" for name in names}
    for name in names:
        (container,) = found[f"agent-{name.replace('_', '-')}"]["spec"]["template"]["spec"][
            "containers"
        ]
        assert container["command"] == [
            "python",
            "-m",
            "agents",
            name,
            "--instance",
            "$(POD_INDEX)",
            "--when-removed",
            "wait",
        ]
        assert (
            container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"]
            == "metadata.labels['apps.kubernetes.io/pod-index']"
        )


def test_source_and_mail_server_of_the_settings_get_their_pods_and_their_secrets() -> None:
    """MongoDB is one pod; due mails are sent beside the outbox they lie in; address and password are files, in no manifest."""
    chosen = Settings(
        _env_file=None,
        mongodb={"uri": "mongodb://u:canary@m/"},
        smtp={"host": "m.example", "user": "u", "password": "canary", "sender": "a@b.example"},
    )
    made = manifests.manifests(chosen, load_fleets(chosen))
    every = [one for _, objects in made.values() for one in objects]
    by_name = {one["metadata"]["name"]: one for one in every}

    for one in every:
        validate(one)
    assert "canary" not in json.dumps(every)
    source = by_name["source-mongodb"]["spec"]
    assert (source["replicas"], source["strategy"]) == (1, {"type": "Recreate"})
    (container,) = source["template"]["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables["SIGNALBOX_KAFKA__SECURITY__USERNAME"] == access.SOURCES
    assert str(Path(variables["SIGNALBOX_MONGODB__URI_FILE"]).parent) in mounts(container)
    main, due = by_name["agent-send-email"]["spec"]["template"]["spec"]["containers"]
    assert due["command"] == ["signalbox", "outbox", "run"]
    assert mounts(main) == mounts(due)
    shared = by_name["signalbox-settings"]["data"]
    assert str(Path(shared["SIGNALBOX_SMTP__PASSWORD_FILE"]).parent) in mounts(main)
    assert len(by_name["agent-nurture-campaign"]["spec"]["template"]["spec"]["containers"]) == 1


def test_the_gateway_lets_nobody_in_without_a_key(objects: list[Any]) -> None:
    """Its keys are a mounted Secret; its read model is beside it on one volume, and its probes ask what it answers."""
    (one,) = [o for o in objects if o["kind"] == "Deployment"]
    main, read_model = one["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in main["env"]}
    (service,) = [
        o for o in objects if o["kind"] == "Service" and "gateway" in o["metadata"]["name"]
    ]

    assert variables["SIGNALBOX_GATEWAY__KEYLESS"] == "never"
    assert str(Path(variables["SIGNALBOX_GATEWAY__KEYS_FILE"]).parent) in mounts(main)
    assert variables["SIGNALBOX_KAFKA__SECURITY__USERNAME"] == access.GATEWAY
    assert mounts(main) == mounts(read_model)
    assert main["env"] == [
        one for one in read_model["env"] if not one["name"].startswith("SIGNALBOX_METRICS__")
    ]
    assert main["readinessProbe"]["httpGet"]["path"] == "/health"
    assert (
        service["spec"]["selector"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    )


def test_prometheus_is_led_to_ports_that_answer(objects: list[Any]) -> None:
    """Each pod that says where it is scraped has one container with that port, and our own ones are told to listen there."""
    annotated = []
    for one in objects:
        spec = one.get("spec", {})
        pod = spec.get("podTemplate") or spec.get("template") or {}
        port = pod.get("metadata", {}).get("annotations", {}).get("prometheus.io/port")
        if port is None:
            continue
        annotated.append(one["kind"])
        (container,) = [
            each
            for each in pod["spec"]["containers"]
            if {"name": "metrics", "containerPort": int(port)} in each.get("ports", ())
        ]
        if one["kind"] == "FlinkDeployment":
            assert one["spec"]["flinkConfiguration"]["metrics.reporter.prom.port"] == port
        else:
            variables = {each["name"]: each.get("value") for each in container["env"]}
            assert variables["SIGNALBOX_METRICS__PORT"] == port
            assert variables["SIGNALBOX_METRICS__HOST"] == "0.0.0.0"

    assert set(annotated) == {"FlinkDeployment", "StatefulSet", "Deployment"}


def test_traces_are_exported_where_an_endpoint_is_set() -> None:
    """Beside the read model, of which they are made, on its volume; without an endpoint there is no such container."""
    settings = Settings.model_construct(
        traces=TracesSettings(endpoint="http://otel-collector:4318")
    )
    made = manifests.manifests(settings, load_fleets(settings))
    (pod,) = [
        one["spec"]["template"]["spec"]
        for one in load(manifests.render(*made["70-gateway.yaml"]))
        if one["kind"] == "Deployment"
    ]
    _, read_model, exporter = pod["containers"]
    (shared,) = load(manifests.render(*made["30-settings.yaml"]))

    assert exporter["command"] == ["python", "-m", "signalbox.tracing"]
    assert mounts(exporter) == mounts(read_model)
    assert shared["data"]["SIGNALBOX_TRACES__ENDPOINT"] == "http://otel-collector:4318"
    rules = access.rules(access.GATEWAY, group_prefix="x.")
    assert access.Rule("group", f"x.{GROUP}", ("Read",)) in rules


def mounts(container: dict[str, Any]) -> set[str]:
    """Where a container finds its volumes."""
    return {one["mountPath"] for one in container["volumeMounts"]}


def test_no_user_may_do_everything() -> None:
    """Agents can neither decide nor read leads, jobs cannot publish definitions, and nobody has a rule for all topics."""
    writes = {
        user: {
            rule.name
            for rule in access.rules(user)
            if rule.resource == "topic" and "Write" in rule.operations
        }
        for user in access.USERS
    }

    assert writes[access.AGENTS] == {"agent_messages", "agent_messages_dlq", "agent_heartbeats"}
    assert writes[access.GATEWAY] == {"agent_messages", "agent_registry", "dead_letter_marks"}
    assert "agent_registry" not in writes[access.JOBS]
    reads = {rule.name for rule in access.rules(access.AGENTS) if "Read" in rule.operations}
    assert "incoming_leads" not in reads
    assert all(rule.name for user in access.USERS for rule in access.rules(user))
