"""The mails of the outbox as files: what became of each, and sending those whose day has come."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import structlog

from agents.sdr.send_email import DUE_HEADER
from agents.sending import FAILED, LATER, SENDING, SENT, Claim, claim_due
from connectors.smtp import MailNotNowError, MailRefusedError, MailUncertainError, SmtpServer

STATES: Final = {SENT: "sent", LATER: "later", FAILED: "failed", SENDING: "uncertain"}
"""By suffix. A mail that is being handed over this very moment is shown as uncertain too."""

UNREADABLE: Final = "unreadable"
"""The state of a file that somebody changed so that it is no mail of ours any more; it is never sent."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One file. `due` is the day it is for, where that is not the day it was written."""

    path: Path
    state: str
    to: str
    subject: str
    message_id: str
    due: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        due = self.due.isoformat() if self.due else None
        shown = {"state": self.state, "to": self.to, "subject": self.subject, "due": due}
        return {**shown, "message_id": self.message_id, "file": str(self.path)}


def mails_in(outbox: Path) -> list[Mail]:
    """Return every mail below `outbox`, by conversation and step; one that cannot be read is named as such."""
    found = []
    for path in sorted(path for path in outbox.glob("*/*") if path.suffix in STATES):
        try:
            found.append(_read(path))
        except FileNotFoundError:
            continue  # it went on to its next state meanwhile
        except (OSError, MessageError, ValueError):
            found.append(Mail(path, UNREADABLE, "", "", "", None))
    return found


def send_due(outbox: Path, server: SmtpServer, now: datetime) -> int:
    """Send every mail that waits and whose day is not after `now`; return how many the server took.

    Delivery: as Send Email; a mail of which nobody knows is left as `.sending`, whatever the settings say.
    """
    events = structlog.get_logger()
    sent = 0
    for path in sorted(outbox.glob(f"*/*{LATER}")):
        try:
            mail = _read(path)
            if mail.due is not None and mail.due > now:
                continue
            with claim_due(path) as held:
                sent += _sent(held, server, mail, events)
        except (OSError, MessageError, ValueError) as error:
            # Another process took it, or the file is no mail of ours: the others go on.
            events.warning("mail.left", file=str(path), detail=f"{type(error).__name__}: {error}")
    return sent


def _sent(held: Claim, server: SmtpServer, mail: Mail, events: Any) -> bool:
    if held.holding != "ours":
        return False
    told = {"message_id": mail.message_id, "file": str(held.path)}
    try:
        server.deliver(held.content, mail.to)
    except MailNotNowError as error:
        held.not_sent()
        events.warning("mail.postponed", **told, detail=str(error))
    except MailRefusedError as error:
        held.refused()
        events.error("mail.refused", **told, detail=str(error))
    except MailUncertainError as error:
        events.error("mail.uncertain", **told, detail=str(error))
    else:
        held.sent()
        events.info("mail.sent", **told)
        return True
    return False


def _read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    due = message[DUE_HEADER]
    if path.suffix == LATER and not due:
        msg = f"a mail for later without the header {DUE_HEADER}"
        raise ValueError(msg)
    return Mail(
        path,
        STATES[path.suffix],
        parseaddr(str(message["To"] or ""))[1],
        str(message["Subject"] or ""),
        str(message["Message-ID"] or ""),
        parsedate_to_datetime(str(due)) if due else None,
    )
