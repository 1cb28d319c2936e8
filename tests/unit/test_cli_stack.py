"""The stack's commands where nothing runs: exit codes, JSON, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, _NamedTextIOWrapper

from signalbox.cli.stack import app
from signalbox.errors import UsageError
from signalbox.local_stack import api, ports
from signalbox.local_stack.state_file import StackState, write


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home and ports of this test alone."""
    monkeypatch.setenv("SIGNALBOX_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALBOX_KAFKA__PORT", str(ports.free_port()))
    monkeypatch.setenv("SIGNALBOX_FLINK__REST_PORT", str(ports.free_port()))
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
    assert {"python", "java", "jars", "definitions", "kafka port", "flink port", "model"} <= set(
        checks
    )
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


def test_wipe_keeps_logs_only(tmp_path: Path) -> None:
    """Starting empty removes topics, state and outboxes, and keeps the logs."""
    for name in ("kafka/data", "flink/state", "outbox", "logs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "stack.json").write_text("{}")

    api.wipe(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
