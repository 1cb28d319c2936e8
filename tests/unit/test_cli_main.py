"""The command line itself: help, version, exit codes, errors, and how little it imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from signalbox import __version__
from signalbox.cli import session
from signalbox.cli.main import COMMANDS, app
from signalbox.errors import ConfigurationError, StackError

runner = CliRunner()


def test_help_names_every_command():
    """What can be done is listed in one screen."""
    result = runner.invoke(app, ["--help"])

    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


def test_help_imports_nothing_heavy():
    """Help and version are instant because models, Kafka and Flink are not imported for them."""
    code = (
        "import sys, signalbox.cli.main as m\n"
        "try: m.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'kafka', 'pyflink', 'httpx', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_version_is_the_packages():
    """`--version` prints name and version."""
    assert runner.invoke(app, ["--version"]).output == f"signalbox {__version__}\n"


def test_unknown_command_is_misuse():
    """A wrong word exits with 2 and suggests the right one."""
    result = runner.invoke(app, ["tracee"])

    assert result.exit_code == 2
    assert "trace" in result.output


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"sql"}])
def test_every_command_has_help_of_its_own(name):
    """Each listed command exists and explains itself."""
    result = runner.invoke(app, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [(StackError("Kafka is not there; run `signalbox up`"), 1), (ConfigurationError("bad"), 2)],
)
def test_errors_of_ours_are_one_message_without_a_traceback(monkeypatch, error, code):
    """What failed goes to stderr in its own words; misuse is 2, everything else 1."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(session, "load_settings", fail)

    result = runner.invoke(app, ["config", "show"])

    assert result.exit_code == code
    assert result.stdout == ""
    assert str(error) in result.stderr
    assert error.code in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_setting_names_its_variable_and_value(monkeypatch):
    """A person reads which variable to mend."""
    monkeypatch.setenv("SIGNALBOX_KAFKA__PORT", "99999")

    result = runner.invoke(app, ["config", "show"])

    assert result.exit_code == 2
    assert "SIGNALBOX_KAFKA__PORT='99999'" in result.stderr


def test_wrong_setting_never_shows_a_secret(monkeypatch):
    """A key that is of the wrong type stays out of the message."""
    monkeypatch.setenv("SIGNALBOX_MODEL", '{"api_key": ["hunter2"]}')

    result = runner.invoke(app, ["config", "show"])

    assert result.exit_code == 2
    assert "hunter2" not in result.output


def test_config_show_names_the_origin_of_each_value(monkeypatch, tmp_path):
    """The environment wins over `.env`, which wins over the default; each says so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SIGNALBOX_KAFKA__PORT=9099\nSIGNALBOX_GATEWAY__PORT=8009\n")
    monkeypatch.setenv("SIGNALBOX_KAFKA__PORT", "9098")
    monkeypatch.setenv("SIGNALBOX_FLINK", '{"rest_port": 8082}')

    shown = json.loads(runner.invoke(app, ["config", "show", "--json"]).stdout)

    assert shown["SIGNALBOX_KAFKA__PORT"] == {"value": 9098, "origin": "env"}
    assert shown["SIGNALBOX_GATEWAY__PORT"] == {"value": 8009, "origin": ".env"}
    assert shown["SIGNALBOX_FLINK__REST_PORT"] == {"value": 8082, "origin": "env"}
    assert shown["SIGNALBOX_DELIVERY"] == {"value": "at_least_once", "origin": "default"}


def test_config_show_masks_secrets(monkeypatch):
    """That a key is set is shown, the key is not."""
    monkeypatch.setenv("SIGNALBOX_MODEL__API_KEY", "hunter2")

    for options in ([], ["--json"]):
        result = runner.invoke(app, ["config", "show", *options])

        assert "hunter2" not in result.output
        assert "****" in result.output


@pytest.mark.parametrize(
    "command",
    [["explain", "m-1"], ["trace", "ada"], ["cost"], ["review", "labels"], ["dlq", "list"]],
)
def test_command_without_a_broker_says_how_to_get_one(monkeypatch, command):
    """Who only reads learns the address, the reason and the next step, as who changes something does."""
    monkeypatch.setenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("connectors.topic_admin.complaint", lambda *_, **__: "nobody listens")

    result = runner.invoke(app, command)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "no broker answers at 127.0.0.1:1 (nobody listens)" in result.stderr
    assert "signalbox up" in result.stderr


def test_commands_that_compare_texts_do_so_on_one_thread():
    """Set before numpy is imported, and only where nobody chose another number."""
    code = (
        "import os, sys, signalbox.cli.main as m\n"
        "try: m.app(['eval', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(os.environ['OPENBLAS_NUM_THREADS'])"
    )

    def threads(**environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, "PATH": ""},
        )
        return done.stderr.strip()

    assert threads() == "1"
    assert threads(OPENBLAS_NUM_THREADS="3") == "3"
