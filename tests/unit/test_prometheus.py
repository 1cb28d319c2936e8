"""What Prometheus is told: families by the list, over HTTP where a process has a port, and where that is."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connectors.prometheus import Exposition, MetricsServer, TargetFile, family, targets_folder
from signalbox.local_stack import ports
from signalbox.measured import Buckets
from signalbox.settings import MetricsSettings, Settings


def settings(folder: Path, **metrics: object) -> Settings:
    return Settings(_env_file=None, home=folder, metrics=metrics)  # type: ignore[call-arg, arg-type]


def samples(text: str, *, without: tuple[str, ...] = ()) -> dict[str, float]:
    """Every sample by its name and labels, those left out that all have."""
    found = {}
    for one in text_string_to_metric_families(text):
        for sample in one.samples:
            labels = ",".join(
                f"{key}={value}"
                for key, value in sorted(sample.labels.items())
                if key not in without
            )
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_buckets_count_a_value_in_every_bound_that_is_not_below_it() -> None:
    """Prometheus' `le` is inclusive, and what is beyond the last bound counts in all."""
    buckets = Buckets((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        buckets.observe(value)

    assert buckets.cumulative() == (2, 4, 5)
    assert (buckets.count, buckets.sum) == (5, pytest.approx(8.65))


def test_family_has_the_name_kind_and_labels_of_the_list() -> None:
    """Counters, gauges and histograms come out as Prometheus reads them."""
    buckets = Buckets((0.5,))
    buckets.observe(0.2)
    exposition = Exposition(
        lambda: (
            family("signalbox_gateway_requests_total", {("GET", "/agents", "200"): 3}),
            family("signalbox_gateway_waiting", 4),
            family("signalbox_gateway_request_duration_seconds", {("/agents",): buckets}),
        )
    )

    found = samples(exposition.text().decode())

    assert found["signalbox_gateway_requests_total{method=GET,route=/agents,status=200}"] == 3
    assert found["signalbox_gateway_waiting{}"] == 4
    name = "signalbox_gateway_request_duration_seconds"
    assert found[f"{name}_bucket{{le=0.5,route=/agents}}"] == 1
    assert found[f"{name}_bucket{{le=+Inf,route=/agents}}"] == 1
    assert found[f"{name}_sum{{route=/agents}}"] == pytest.approx(0.2)


def test_family_refuses_labels_and_kinds_that_are_not_the_lists() -> None:
    """A wrong label set would be another series than the dashboards ask for."""
    with pytest.raises(ValueError, match="labels"):
        family("signalbox_gateway_waiting", {("extra",): 1})
    with pytest.raises(ValueError, match="histogram"):
        family("signalbox_readmodel_hop_seconds", 1)


def test_server_answers_on_a_free_port_and_says_where(tmp_path: Path) -> None:
    """The target file names address and labels while the process serves, and is gone when it ended well."""
    made = settings(tmp_path)
    file = TargetFile(made, "agent-a-0", {"job": "agents", "agent": "a"})
    exposition = Exposition(lambda: (family("signalbox_gateway_waiting", 7),))

    with MetricsServer(exposition, made.metrics, file) as server:
        (path,) = targets_folder(made).glob("*.json")
        (said,) = json.loads(path.read_text())
        answer = httpx.get(f"http://{said['targets'][0]}/metrics")

    assert said == {
        "targets": [f"127.0.0.1:{server.port}"],
        "labels": {"job": "agents", "agent": "a"},
    }
    assert samples(answer.text)["signalbox_gateway_waiting{}"] == 7
    assert samples(answer.text)["process_resident_memory_bytes{}"] > 1e6
    assert not list(targets_folder(made).glob("*"))
    assert ports.is_free(int(said["targets"][0].rpartition(":")[2]))


def test_the_file_of_a_process_that_failed_stays(tmp_path: Path) -> None:
    """Or it would be missing nowhere: an alert on a target that does not answer needs the target."""
    made = settings(tmp_path)
    server = MetricsServer(Exposition(tuple), made.metrics, TargetFile(made, "a", {}))
    with pytest.raises(RuntimeError), server:
        raise RuntimeError

    assert [path.name for path in targets_folder(made).iterdir()] == ["a.json"]
    assert server.port is not None
    assert ports.is_free(server.port)


def test_a_process_that_ends_leaves_the_file_of_its_successor(tmp_path: Path) -> None:
    """Of one name and started before it has ended, as who takes over an instance is."""
    made = settings(tmp_path)
    with MetricsServer(Exposition(tuple), made.metrics, TargetFile(made, "a", {})):
        TargetFile(made, "a", {}).write(1234)

    (said,) = json.loads((targets_folder(made) / "a.json").read_text())
    assert said["targets"] == ["127.0.0.1:1234"]


def test_server_that_cannot_listen_lets_the_process_go_on(tmp_path: Path) -> None:
    """An agent works without metrics rather than not at all, and no file leads to somebody else's port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        made = settings(tmp_path, port=other.getsockname()[1])
        with MetricsServer(Exposition(tuple), made.metrics, TargetFile(made, "x", {})) as server:
            assert server.port is None

    assert not targets_folder(made).exists()


def test_server_switched_off_listens_nowhere(tmp_path: Path) -> None:
    """`SIGNALBOX_METRICS__ENABLED=false`."""
    made = MetricsSettings(enabled=False)
    file = TargetFile(settings(tmp_path), "x", {})

    with MetricsServer(Exposition(tuple), made, file) as server:
        assert server.port is None


def test_target_names_the_host_by_which_others_reach_it(tmp_path: Path) -> None:
    """A container listens everywhere and is reached by its service's name."""
    made = settings(tmp_path, host="0.0.0.0", advertised_host="agents")
    TargetFile(made, "a", {}).write(1234)

    (said,) = json.loads((targets_folder(made) / "a.json").read_text())
    assert said["targets"] == ["agents:1234"]
