"""The ways in and out as processes: started where their setting is set, not restarted where a person must decide."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.child import Child
from signalbox.local_stack.process import ProcessSpec
from signalbox.local_stack.sources import EXIT_STOPPED, source_commands
from signalbox.settings import FolderSettings, MongodbSettings, Settings, SmtpSettings


def test_nothing_runs_that_was_not_asked_for() -> None:
    """The demo has no sources."""
    assert source_commands(Settings.model_construct()) == {}


def test_each_setting_starts_its_process() -> None:
    """MongoDB by its address or the file of it, the folder by its path, due mails by the mail server."""
    settings = Settings(
        mongodb=MongodbSettings(uri=SecretStr("mongodb://x/")),
        folder=FolderSettings(path=Path("leads")),
        smtp=SmtpSettings(host="mail.example", sender="a@b.example"),
    )

    assert source_commands(settings) == {
        "source mongodb": ("source", "mongodb"),
        "source folder": ("source", "folder"),
        "outbox": ("outbox", "run"),
    }
    by_file = Settings(mongodb=MongodbSettings(uri_file=Path("secret")))
    assert list(source_commands(by_file)) == ["source mongodb"]


@pytest.mark.parametrize(("code", "state"), [(EXIT_STOPPED, "stopped"), (1, "restarting")])
def test_child_whose_end_is_final_is_not_started_again(
    tmp_path: Path, code: int, state: str
) -> None:
    """A code that says "a person must decide" is reported with the log's end, any other is a crash."""
    script = f"print('what to do'); raise SystemExit({code})"
    child = Child(
        "source x",
        "source",
        lambda: ProcessSpec("source x", (sys.executable, "-c", script), tmp_path / "x.log"),
        backoff=Backoff(3600.0),
        final_codes=frozenset({EXIT_STOPPED}),
    )
    child.start()
    said = ""
    deadline = time.monotonic() + 30
    while child.state not in {"stopped", "restarting"}:
        said = child.step() or said
        assert time.monotonic() < deadline
    child.stop()

    assert f"code {code}" in said
    assert ("what to do" in said) == (state == "stopped")
    assert child.restarts == (state == "restarting")
