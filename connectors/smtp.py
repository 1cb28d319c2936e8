"""Hands one mail to an SMTP server, and says exactly one of four things about it: taken, not now, never, nobody knows.

One connection a mail: what a server says about one mail is never about another one.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from contextlib import suppress
from typing import Final

from signalbox.errors import RetryableError, SignalboxError, TerminalError
from signalbox.settings import SmtpSettings

FINAL_WORD_FACTOR: Final = 12
"""The answer to a whole mail may take so many times longer than any other: a server that scans it is slow, and giving
up just then is what leaves nobody knowing (RFC 5321 section 4.5.3.2.6 asks for ten minutes)."""

LATER_SECONDS: Final = 30.0
"""When a server says "not now" about a mail (4xx), it is asked again after this."""

_ADDRESS: Final = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[^\s<>\x00-\x1f\x7f]+")


class MailNotNowError(RetryableError):
    """The server did not take the mail this time: it is away, or says 4xx, or refuses us rather than the mail."""

    code = "SB-070"


class MailRefusedError(TerminalError):
    """The server will never take this mail (5xx)."""

    code = "SB-071"

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="handler_failed")


class MailUncertainError(SignalboxError):
    """The whole mail was handed over and no answer came: it may have been taken, or not."""

    code = "SB-072"


class SmtpServer:
    """The server of the settings. Thread-safe: every call has a connection of its own."""

    def __init__(self, settings: SmtpSettings) -> None:
        self.settings = settings

    def deliver(self, content: bytes, recipient: str) -> None:
        """Hand over `content` (RFC 5322, CRLF) for `recipient`; returns once the server has taken it (250).

        Delivery: once if it returns; not at all with `MailNotNowError` and `MailRefusedError`; unknown otherwise.

        Raises:
            MailNotNowError, MailRefusedError, MailUncertainError: as they say.
        """
        if not _ADDRESS.fullmatch(recipient):
            # A line break in a command would start a command of the attacker's choice.
            msg = f"{recipient!r} is not one mail address, like ada@example.com"
            raise MailRefusedError(msg)
        client = self._connected()
        try:
            self._address_mail(client, recipient)
            self._hand_over(client, content)
        finally:
            with suppress(smtplib.SMTPException, OSError):
                client.quit()

    def _connected(self) -> smtplib.SMTP:
        """Connect, encrypt, log in. Whatever fails here is about the server or us, never about the mail."""
        settings = self.settings
        where = f"{settings.host}:{settings.port}"
        client: smtplib.SMTP | None = None
        try:
            timeout = settings.timeout_seconds
            host, port = str(settings.host), settings.port
            if settings.security == "tls":
                client = smtplib.SMTP_SSL(host, port, timeout=timeout, context=self._trust())
            else:
                client = smtplib.SMTP(host, port, timeout=timeout)
            client.ehlo_or_helo_if_needed()
            if settings.security == "starttls":
                client.starttls(context=self._trust())
                client.ehlo()
            if settings.user is not None:
                client.login(settings.user, settings.secret() or "")
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            if client is not None:
                client.close()
            msg = f"the mail server {where} cannot be used: {_said(error)}; see SIGNALBOX_SMTP__*"
            raise MailNotNowError(msg) from error
        return client

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.settings.ca_file is not None:
            context.load_verify_locations(self.settings.ca_file)
        return context

    def _address_mail(self, client: smtplib.SMTP, recipient: str) -> None:
        options = []
        if not recipient.isascii():
            if not client.has_extn("smtputf8"):
                msg = f"the server takes no address like {recipient!r} (no SMTPUTF8)"
                raise MailRefusedError(msg)
            options = ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            _expect(client.mail(self.settings.sender_address, options), "the sender")
            _expect(client.rcpt(recipient), "the recipient")
        except (smtplib.SMTPException, OSError) as error:
            msg = f"the mail server broke off before the mail: {_said(error)}"
            raise MailNotNowError(msg) from error

    def _hand_over(self, client: smtplib.SMTP, content: bytes) -> None:
        sock = client.sock
        if sock is not None:
            sock.settimeout(self.settings.timeout_seconds * FINAL_WORD_FACTOR)
        answer: tuple[int, bytes | str]
        try:
            answer = client.data(content)
        except smtplib.SMTPDataError as error:
            # DATA itself was refused: nothing was handed over.
            answer = error.smtp_code, error.smtp_error
        except (smtplib.SMTPException, OSError) as error:
            msg = f"no answer after the mail was handed over: {_said(error)}"
            raise MailUncertainError(msg) from error
        _expect(answer, "the mail")


def _expect(answer: tuple[int, bytes | str], what: str) -> None:
    code, text = answer
    if 200 <= code < 300:
        return
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if code >= 500:
        msg = f"the mail server refused {what}: {code} {said[:500]}"
        raise MailRefusedError(msg)
    msg = f"the mail server does not take {what} now: {code} {said[:500]}"
    raise MailNotNowError(msg, retry_after_seconds=LATER_SECONDS)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
