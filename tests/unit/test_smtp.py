"""Mail by SMTP: one mail per conversation and step, over crashes, refusals and servers that go silent. A real server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import multiprocessing
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import SecretStr, ValidationError

from agents.due_mails import mails_in, send_due
from agents.outbox import Outbox
from agents.result import Escalate, Reply, Retry, Terminal
from agents.sdr import send_email
from agents.sending import claim
from connectors.smtp import (
    MailNotNowError,
    MailRefusedError,
    MailUncertainError,
    SmtpServer,
)
from signalbox.settings import SmtpSettings
from tests.support.tasks import NOW, context_of, task_of

SENDER = "Team Ä <team@box.example>"
LEAD = {"name": "Ada"}


class Post:
    """What the server was handed. `answers` are said once each, by command; `mails` are those it took."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.answers: dict[str, list[str]] = {}
        self.at_data: Any = None

    def _answer(self, command: str, otherwise: str) -> str:
        left = self.answers.get(command)
        return left.pop(0) if left else otherwise

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self._answer("MAIL", "250 OK")

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        said = self._answer("RCPT", "250 OK")
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.at_data is not None:
            await self.at_data(server, envelope)
        said = self._answer("DATA", "250 OK")
        if said.startswith("250"):
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return said

    @property
    def messages(self) -> list[Any]:
        return [
            email.message_from_bytes(content, policy=email.policy.default)
            for *_, content in self.mails
        ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def post() -> Iterator[Post]:
    """A plain server."""
    made = Post()
    made.controller = Controller(made, "127.0.0.1", free_port(), enable_SMTPUTF8=True)  # type: ignore[attr-defined]
    made.controller.start()  # type: ignore[attr-defined]
    yield made
    made.controller.stop()  # type: ignore[attr-defined]


def settings(post: Post, **changes: Any) -> SmtpSettings:
    port = post.controller.port  # type: ignore[attr-defined]
    return SmtpSettings(
        **{"host": "127.0.0.1", "port": port, "security": "none", "sender": SENDER, **changes}
    )


def campaign(*mails: dict[str, Any]) -> dict[str, Any]:
    one = {"to": "ada@example.com", "subject": "Grüße", "body": "Text\n.\n..dots\n"}
    return {
        "campaign_type": "Nurture",
        "emails": [{**one, **mail} for mail in mails or ({},)],
        "cause": "message-1",
        "written_by": "embedded",
    }


def send(outbox: Path, server: SmtpServer | None, written: dict[str, Any] | None = None) -> Any:
    context = replace(context_of(outbox), mail_server=server)
    return send_email.send(task_of({"lead": LEAD, "campaign": written or campaign()}), context)


def suffixes(outbox: Path) -> list[str]:
    return sorted(path.suffix for path in outbox.rglob("*") if path.is_file())


def test_mail_is_handed_over_once_however_often_the_task_comes(post: Post, tmp_path: Path) -> None:
    """The server gets one mail with the outbox's content; the task handled again finds it sent."""
    server = SmtpServer(settings(post))

    first, again = send(tmp_path, server), send(tmp_path, server)

    ((sender, recipients, content),) = post.mails
    (message,) = post.messages
    assert (sender, recipients) == ("team@box.example", ["ada@example.com"])
    assert content.isascii()
    assert message["Subject"] == "Grüße"
    assert message["From"] == SENDER
    assert message["Message-ID"] == first.data["sent"]["emails"][0]["message_id"]
    assert message["Message-ID"].endswith("@box.example>")
    assert message.get_content().replace("\r\n", "\n") == "Text\n.\n..dots\n"
    assert [r.data["sent"]["emails"][0]["is_new"] for r in (first, again)] == [True, False]
    assert first.data["sent"]["emails"][0]["how"] == "smtp"
    assert suffixes(tmp_path) == [".eml"]


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("said", "kind"), [("451 later", Retry), ("421 bye", Retry), ("550 never", Terminal)]
)
def test_server_that_says_no_is_believed(
    post: Post, tmp_path: Path, command: str, said: str, kind: type
) -> None:
    """4xx is tried again, 5xx is the end; either way nothing was sent, and the next attempt may send it."""
    post.answers[command] = [said]
    server = SmtpServer(settings(post))

    refused, later = send(tmp_path, server), send(tmp_path, server)

    assert isinstance(refused, kind)
    assert said.split(maxsplit=1)[0] in refused.detail
    assert isinstance(later, Reply)
    assert len(post.mails) == 1


def test_server_that_is_away_is_worth_a_retry(tmp_path: Path) -> None:
    """Nobody listens: nothing is recorded but the wish to try again."""
    server = SmtpServer(
        SmtpSettings(host="127.0.0.1", port=free_port(), security="none", sender=SENDER)
    )

    assert isinstance(send(tmp_path, server), Retry)
    assert suffixes(tmp_path) == []


@pytest.mark.parametrize(("policy", "mails"), [("hold", 1), ("send_again", 2)])
def test_server_that_goes_silent_after_the_mail_leaves_it_uncertain(
    post: Post, tmp_path: Path, policy: str, mails: int
) -> None:
    """The mail was handed over and no answer came: held for a person, or sent again under the same id."""

    async def cut(server: Any, envelope: Any) -> None:
        if not post.mails:
            post.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            server.transport.abort()
            await asyncio.sleep(3600)

    post.at_data = cut
    server = SmtpServer(settings(post, when_uncertain=policy))
    first = send(tmp_path, server)
    assert isinstance(first, Escalate)
    assert suffixes(tmp_path) == [".sending"]
    assert [mail.state for mail in mails_in(tmp_path)] == ["uncertain"]

    again = send(tmp_path, server)

    assert isinstance(again, Escalate if policy == "hold" else Reply)
    assert len(post.mails) == mails
    assert len({message["Message-ID"] for message in post.messages}) == 1


def _die_while_sending(outbox: str, port: int) -> None:
    server = SmtpServer(SmtpSettings(host="127.0.0.1", port=port, security="none", sender=SENDER))
    send(Path(outbox), server)


def test_process_killed_while_it_sends_leaves_the_mail_uncertain(
    post: Post, tmp_path: Path
) -> None:
    """While the process lives another attempt waits; once it is killed nobody knows, and the mail is held."""
    reached = threading.Event()

    async def hang(server: Any, envelope: Any) -> None:
        reached.set()
        await asyncio.sleep(3600)

    post.at_data = hang
    port = post.controller.port  # type: ignore[attr-defined]
    process = multiprocessing.get_context("spawn").Process(
        target=_die_while_sending, args=(str(tmp_path), port)
    )
    process.start()
    try:
        assert reached.wait(60)
        server = SmtpServer(settings(post))
        meanwhile = send(tmp_path, server)
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
    post.at_data = None

    assert isinstance(meanwhile, Retry)
    assert "right now" in meanwhile.detail
    held = send(tmp_path, server)
    assert isinstance(held, Escalate)
    assert ".sending" in held.reason
    assert post.mails == []


def test_uncertain_mail_is_settled_by_a_person_through_its_file(post: Post, tmp_path: Path) -> None:
    """Renamed to .eml it counts as sent; removed, it is sent."""
    server = SmtpServer(settings(post))
    for is_sent in (True, False):
        folder = tmp_path / str(is_sent)
        (path,) = _uncertain(folder, server)
        path.rename(path.with_suffix(".eml")) if is_sent else path.unlink()
        assert isinstance(send(folder, server), Reply)

    assert len(post.mails) == 1


def _uncertain(folder: Path, server: SmtpServer) -> list[Path]:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(folder)
    assert isinstance(send(folder, server), Escalate)
    return list(folder.rglob("*.sending"))


class _Dying(SmtpServer):
    def deliver(self, content: bytes, recipient: str) -> None:
        raise KeyboardInterrupt


def _interrupted(folder: Path) -> None:
    send(folder, _Dying(SmtpSettings(host="x", sender=SENDER)))


def test_many_attempts_at_once_send_one_mail(post: Post, tmp_path: Path) -> None:
    """Threads that handle the same task at the same moment end in one mail."""
    server = SmtpServer(settings(post))
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(send(tmp_path, server))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(post.mails) == 1
    assert len(results) == 8
    assert all(isinstance(result, Reply | Retry) for result in results)
    assert isinstance(send(tmp_path, server), Reply)


def test_put_that_loses_against_an_ended_mail_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for an end and recording the start, another process may have sent it: that is seen."""
    outbox = Outbox(tmp_path)
    real = Outbox.put

    def late(self: Outbox, *arguments: Any, **options: Any) -> Any:
        sent = outbox.path_of("c", "s")
        sent.parent.mkdir(parents=True, exist_ok=True)
        sent.write_bytes(b"sent by another")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Outbox, "put", late)
    with claim(outbox, "c", "s", b"mine") as held:
        assert held.holding == "sent"

    assert suffixes(tmp_path) == [".eml"]


def test_mail_for_another_day_waits_and_is_sent_on_it(post: Post, tmp_path: Path) -> None:
    """Nothing goes out before its day; on it, once, dated that day."""
    server = SmtpServer(settings(post))
    written = campaign({}, {"send_after_days": 7})
    reply = send(tmp_path, server, written)
    assert [mail["how"] for mail in reply.data["sent"]["emails"]] == ["smtp", "later"]
    assert send_due(tmp_path, server, NOW + timedelta(days=6)) == 0
    assert len(post.mails) == 1

    due = NOW + timedelta(days=7)
    counts = [send_due(tmp_path, server, due), send_due(tmp_path, server, due)]

    assert counts == [1, 0]
    assert post.messages[1]["Date"].datetime == due
    assert suffixes(tmp_path) == [".eml", ".eml"]
    again = send(tmp_path, server, written)
    assert [mail["is_new"] for mail in again.data["sent"]["emails"]] == [False, False]


def test_due_mail_is_postponed_refused_or_left_uncertain(post: Post, tmp_path: Path) -> None:
    """4xx leaves it for the next look, 5xx is recorded, silence is held; the other mails go on."""
    server = SmtpServer(settings(post))
    days = [{"send_after_days": n} for n in (1, 2, 3)]
    send(tmp_path, server, campaign(*days))
    due = NOW + timedelta(days=9)
    post.answers["RCPT"] = ["451 later", "550 never"]

    sent = send_due(tmp_path, server, due)

    assert sent == 1
    assert suffixes(tmp_path) == [".eml", ".failed", ".later"]
    assert send_due(tmp_path, server, due) == 1
    assert sorted(mail.state for mail in mails_in(tmp_path)) == ["failed", "sent", "sent"]


@pytest.mark.parametrize(
    "recipient",
    [
        "a@b.example\r\nRCPT TO:<c@d.example>",
        "a@b.example>\nDATA",
        "a b@c.example",
        "<a@b.example>",
        "nobody",
        "a@b\x00",
    ],
)
def test_recipient_that_would_be_a_command_is_refused(post: Post, recipient: str) -> None:
    """What is no single address never reaches the server."""
    with pytest.raises(MailRefusedError, match="not one mail address"):
        SmtpServer(settings(post)).deliver(b"x", recipient)

    assert post.mails == []


def test_address_outside_ascii_is_handed_over_as_such(post: Post, tmp_path: Path) -> None:
    """A server with SMTPUTF8 gets the address as it is."""
    result = send(tmp_path, SmtpServer(settings(post)), campaign({"to": "ada@müller.example"}))

    assert isinstance(result, Reply), result
    assert post.mails[0][1] == ["ada@müller.example"]


# --- encryption and login ---------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Post, Path]]:
    """A server that wants STARTTLS and a login, and the file of the authority behind its certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert session.ssl is not None
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            b"box",
            b"secret",
        )
        return AuthResult(success=right)

    made = Post()
    made.controller = Controller(  # type: ignore[attr-defined]
        made, "127.0.0.1", free_port(), tls_context=context, require_starttls=True, auth_required=True, authenticator=check,
    )  # fmt: skip
    made.controller.start()  # type: ignore[attr-defined]
    yield made, ca_file
    made.controller.stop()  # type: ignore[attr-defined]


def test_login_goes_over_starttls_with_the_password_of_a_file(
    guarded: tuple[Post, Path], tmp_path: Path
) -> None:
    """The mail is taken after encryption and login."""
    post, ca_file = guarded
    (tmp_path / "password").write_text("secret\n")
    chosen = {
        "security": "starttls",
        "ca_file": ca_file,
        "user": "box",
        "password_file": tmp_path / "password",
    }

    SmtpServer(settings(post, **chosen)).deliver(b"Subject: x\r\n\r\nx\r\n", "ada@example.com")

    assert len(post.mails) == 1


@pytest.mark.parametrize(
    "change",
    [{"password": SecretStr("wrong")}, {"ca_file": None}, {"security": "none"}],
    ids=["password", "certificate", "encryption"],
)
def test_wrong_login_or_certificate_is_not_the_mails_fault(
    guarded: tuple[Post, Path], change: dict[str, Any]
) -> None:
    """What is wrong with our settings is tried again, names them, and says no secret; the mail is not lost for it."""
    post, ca_file = guarded
    chosen = {
        "security": "starttls",
        "ca_file": ca_file,
        "user": "box",
        "password": SecretStr("secret"),
        **change,
    }

    with pytest.raises(MailNotNowError, match="SIGNALBOX_SMTP__") as caught:
        SmtpServer(settings(post, **chosen)).deliver(b"x", "ada@example.com")

    assert "secret" not in str(caught.value)
    assert "wrong" not in str(caught.value)
    assert post.mails == []


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    """Port 465's way works too."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    post = Post()
    listener = Controller(post, "127.0.0.1", free_port(), ssl_context=context)
    listener.ssl_context.check_hostname = False  # the controller's own probe
    post.controller = listener  # type: ignore[attr-defined]
    try:
        _start_quietly(listener)
        SmtpServer(settings(post, security="tls", ca_file=ca_file)).deliver(
            b"Subject: x\r\n\r\nx\r\n", "ada@example.com"
        )
    finally:
        listener.stop(no_assert=True)

    assert len(post.mails) == 1


def _start_quietly(listener: Controller) -> None:
    # The controller probes itself with its server-side context, which Python refuses; the server runs all the same.
    with suppress(ssl.SSLError, ValueError, OSError):
        listener.start()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"host": "mail.example"}, "SIGNALBOX_SMTP__SENDER"),
        ({"host": "mail.example", "sender": "nobody"}, "SIGNALBOX_SMTP__SENDER"),
        ({"host": "mail.example", "sender": "A\r\nBcc: x <a@b.example>"}, "SIGNALBOX_SMTP__SENDER"),
        (
            {"host": "mail.example", "sender": SENDER, "security": "none", "user": "box"},
            "readable for all",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(chosen: dict[str, Any], said: str) -> None:
    """A sender that is none, or a password in the clear, is an error before anything starts."""
    with pytest.raises(ValidationError, match=said):
        SmtpSettings(**chosen)


def test_uncertain_is_said_where_the_server_hangs_up_in_the_data(post: Post) -> None:
    """A connection that ends after the mail's last line is reported as unknown, not as a failure."""

    async def cut(server: Any, envelope: Any) -> None:
        server.transport.abort()
        await asyncio.sleep(3600)

    post.at_data = cut
    with pytest.raises(MailUncertainError):
        SmtpServer(settings(post)).deliver(b"Subject: x\r\n\r\nx\r\n", "ada@example.com")
