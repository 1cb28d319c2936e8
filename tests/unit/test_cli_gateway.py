"""`signalbox keys` and `signalbox readmodel`: keys shown once, the read model built anew and told of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from signalbox.cli import session
from signalbox.cli.main import app
from signalbox.gateway import server
from signalbox.gateway.key_place import keys_file
from signalbox.gateway.keys import digest_of, read_keys
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.local_stack import ports
from signalbox.local_stack.gateway import EXIT_MISCONFIGURED
from tests.support.fleets import message
from tests.support.gateway import memory_broker

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SIGNALBOX_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALBOX_GATEWAY__PORT", str(ports.free_port()))
    return tmp_path


def called(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def test_a_key_is_printed_once_and_found_by_its_digest() -> None:
    """`list` tells names and scopes, never a key; after `revoke` it is gone."""
    made = called("keys", "create", "crm", "--scope", "send", "--scope", "read")
    key = made.stdout.strip()
    listed = json.loads(called("keys", "list", "--json").stdout)
    (kept,) = read_keys(keys_file(session.load_settings()))

    assert made.exit_code == 0
    assert kept.sha256 == digest_of(key)
    assert [(one["name"], one["scopes"]) for one in listed] == [("crm", ["read", "send"])]
    assert key not in called("keys", "list").output
    assert called("keys", "revoke", "crm").exit_code == 0
    assert called("keys", "revoke", "crm").exit_code == 1


def test_a_scope_that_does_not_exist_is_misuse() -> None:
    """Exit code 2 names those that do."""
    result = called("keys", "create", "crm", "--scope", "everything")

    assert result.exit_code == 2
    assert "decide" in result.stderr


def test_the_read_model_is_built_and_told_of(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Without one `status` answers no; after `rebuild` it says what is there."""
    broker = memory_broker()
    monkeypatch.setattr(session, "open_broker", lambda _: broker)
    sent = message("m-1", {"lead": 1}, conversation="ada")
    broker.producer().send("agent_messages", key=b"ada", value=sent.to_json())

    assert called("readmodel", "status").exit_code == 1
    built = json.loads(called("readmodel", "rebuild", "--json").stdout)
    told = json.loads(called("readmodel", "status", "--json").stdout)

    assert built["records"] == 1
    assert built["file"] == told["file"] == str(ReadModelPlace(home / "readmodel").current())
    assert told["rows"]["conversation"] == 1
    assert sum(told["offsets"].values()) == 1


def test_listening_to_everybody_without_any_key_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4, after which the supervisor does not start it again; the log says what to do."""
    monkeypatch.setenv("SIGNALBOX_GATEWAY__HOST", "0.0.0.0")
    monkeypatch.setattr(server, "configure_logging", lambda: None)

    assert server.main() == EXIT_MISCONFIGURED
    assert "signalbox keys create" in capsys.readouterr().out
