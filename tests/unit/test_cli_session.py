"""What commands share: a broker that is not there is said alike by all of them, with the next step."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app
from signalbox.local_stack.ports import free_port


@pytest.mark.parametrize("command", [["dlq", "list"], ["cost"], ["deploy", "topics"]])
def test_command_without_a_broker_says_so(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who forgot `up` is left with a client's words: the error names the address and the next step."""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", address)

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 1
    assert f"no broker answers at {address}" in result.stderr
    assert "signalbox up" in result.stderr
