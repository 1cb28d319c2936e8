"""`signalbox outbox` and `source`: what a person is told about mails, and about settings that are missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.outbox import Outbox
from agents.sdr import send_email
from connectors.smtp import SmtpServer
from signalbox.cli.main import app
from signalbox.settings import SmtpSettings
from tests.support.tasks import NOW, context_of, task_of


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGNALBOX_HOME", str(tmp_path))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def mail(folder: Path, step: str, suffix: str, days: int = 0) -> None:
    content = send_email.compose(
        {"to": "ada@example.com", "subject": step, "body": "x", "send_after_days": days},
        sender="a@b.example",
        message_id=f"<{step}@b.example>",
        now=NOW,
    )
    Outbox(folder / "outbox").put("c1", step, content, suffix=suffix)


def test_list_says_the_state_of_every_mail(tmp_path: Path) -> None:
    """One line a mail; exit code 1 while one needs a person."""
    mail(tmp_path, "one", ".eml")
    mail(tmp_path, "two", ".later", days=7)
    assert run("outbox", "list").exit_code == 0
    mail(tmp_path, "three", ".sending")

    result = run("outbox", "list", "--json")

    states = {item["subject"]: item["state"] for item in json.loads(result.stdout)["mails"]}
    assert states == {"one": "sent", "two": "later", "three": "uncertain"}
    assert result.exit_code == 1
    assert "due 2026-01-22" in run("outbox", "list").stdout


@pytest.mark.parametrize(
    "content",
    [b"Deferred-Delivery: some day\r\nTo: <<>>\r\n\r\n", b"To: a@b.example\r\n\r\n", b"\xff\x00"],
)
def test_list_names_a_file_that_is_no_mail_any_more(tmp_path: Path, content: bytes) -> None:
    """A file that somebody broke by hand hides no other, and wants a person."""
    mail(tmp_path, "one", ".eml")
    broken = tmp_path / "outbox" / "c9" / "by-hand.later"
    broken.parent.mkdir()
    broken.write_bytes(content)

    result = run("outbox", "list", "--json")

    states = [item["state"] for item in json.loads(result.stdout)["mails"]]
    assert sorted(states) == ["sent", "unreadable"]
    assert result.exit_code == 1
    assert str(broken) in run("outbox", "list").stdout


def test_list_of_an_empty_outbox_says_where_it_looked(tmp_path: Path) -> None:
    """Nothing to list is no silence; where JSON is asked for, it is an empty list."""
    result = run("outbox", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert f"no mail in {tmp_path / 'outbox'}" in result.stderr
    assert json.loads(run("outbox", "list", "--json").stdout) == {"mails": []}


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (("outbox", "run"), "SIGNALBOX_SMTP__HOST"),
        (("source", "folder"), "SIGNALBOX_FOLDER__PATH"),
        (("source", "mongodb"), "SIGNALBOX_MONGODB__URI"),
    ],
)
def test_command_without_its_setting_names_it(command: tuple[str, ...], variable: str) -> None:
    """Misuse, with the variable to set."""
    result = run(*command)

    assert result.exit_code == 2
    assert f"{variable} is not set" in result.stderr


def test_wrong_secret_is_not_repeated_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error about the mail settings says which, not what the password was."""
    monkeypatch.setenv("SIGNALBOX_SMTP__HOST", "mail.example")
    monkeypatch.setenv("SIGNALBOX_SMTP__PASSWORD", "canary-77")

    result = run("outbox", "list")

    assert result.exit_code == 2
    assert "SIGNALBOX_SMTP__SENDER" in result.stderr
    assert "canary-77" not in result.stderr + result.stdout


def test_mail_that_failed_before_is_not_sent_by_a_later_task(tmp_path: Path) -> None:
    """What the server refused on its day stays refused; the task reports it as such."""
    outbox = tmp_path / "outbox"
    server = SmtpServer(SmtpSettings(host="127.0.0.1", port=1, sender="a@b.example"))
    written = {
        "campaign_type": "Nurture",
        "emails": [{"to": "ada@example.com", "subject": "s", "body": "b"}],
        "cause": "m",
        "written_by": "embedded",
    }
    Outbox(outbox).put("conversation-1", "nurture-first-1", b"x", suffix=".failed")
    context = replace(context_of(outbox), mail_server=server)

    reply = send_email.send(task_of({"lead": {}, "campaign": written}), context)

    (told,) = reply.data["sent"]["emails"]  # type: ignore[union-attr]
    assert (told["how"], told["is_new"]) == ("failed", False)
