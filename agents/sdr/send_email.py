"""Send Email: sends each mail of a campaign once per conversation and step, ever.

Takes `outreach.written` or `nurture.written`, answers `email.sent`, which completes the conversation. Without a mail
server each mail becomes an RFC 5322 file in the outbox; with one it is handed over, and the outbox says how far it is.
A mail for another day waits in the outbox for `signalbox outbox run`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any, Final, NamedTuple

from agents.outbox import Outbox, file_name
from agents.result import Escalate, HandlerResult, Reply, Retry, Terminal
from agents.sending import FAILED, LATER, SENDING, SENT, Claim, claim
from agents.task import Context, Task
from connectors.smtp import (
    MailNotNowError,
    MailRefusedError,
    MailUncertainError,
    SmtpServer,
)
from signalbox.settings import DEFAULT_SENDER

DUE_HEADER: Final = "Deferred-Delivery"
_STEP_KEY: Final = "{step}-{number}"
_BUSY_SECONDS: Final = 15.0

# Every server takes 7 bit; 8 bit only those that say so.
_SEVEN_BIT: Final = SMTP.clone(cte_type="7bit")


def send(task: Task, context: Context) -> HandlerResult:
    """Answer `{lead, sent}`; an ordinary function, so that disk and server are waited for in a thread.

    Delivery: one file per (conversation, step), however often the task is handled; with a server one mail, unless the
    process dies between handing a mail over and hearing the answer: `smtp.when_uncertain` says what then.
    """
    lead, campaign = task.data["lead"], task.data["campaign"]
    step = step_of(campaign)
    sender = context.mail_server.settings.sender if context.mail_server else DEFAULT_SENDER
    sent = []
    for number, mail in enumerate(campaign["emails"], start=1):
        key = _STEP_KEY.format(step=step, number=number)
        message_id = f"<{file_name(task.conversation_id)}.{key}@{_domain(sender)}>"
        try:
            content = compose(mail, sender=sender, message_id=message_id, now=context.now())
        except (ValueError, MessageError) as error:
            return Terminal("handler_failed", f"mail {number} cannot be written: {error}")
        try:
            done = _done(task, context, key, mail, content)
        except MailNotNowError as error:
            return Retry(error.retry_after_seconds, f"mail {number}: {error}")
        except MailRefusedError as error:
            return Terminal("handler_failed", f"mail {number}: {error}")
        except MailUncertainError as error:
            return Escalate(f"mail {number} to {_one_line(mail['to'])}: {error}")
        sent.append(
            {
                "file": str(done.path.relative_to(context.outbox_dir)),
                "message_id": message_id,
                "to": _one_line(mail["to"]),
                "subject": _one_line(mail["subject"]),
                "is_new": done.is_new,
                "how": done.how,
            }
        )
    return Reply(
        data={
            "lead": lead,
            "sent": {
                "campaign_type": campaign["campaign_type"],
                "step": step,
                "written_by": campaign["written_by"],
                "emails": sent,
            },
        }
    )


class _Done(NamedTuple):
    path: Path
    is_new: bool
    how: str


def _done(task: Task, context: Context, key: str, mail: Mapping[str, Any], content: bytes) -> _Done:
    outbox = Outbox(context.outbox_dir)
    server = context.mail_server
    if server is None:
        put = outbox.put(task.conversation_id, key, content)
        return _Done(put.path, put.is_new, "file")
    if int(mail.get("send_after_days", 0)):
        return _kept_for_later(outbox, task.conversation_id, key, content)
    with claim(outbox, task.conversation_id, key, content) as held:
        return hand_over(server, held, _one_line(mail["to"]))


def _kept_for_later(outbox: Outbox, conversation_id: str, key: str, content: bytes) -> _Done:
    for suffix, how in ((SENT, "smtp"), (SENDING, "later"), (FAILED, "failed")):
        path = outbox.path_of(conversation_id, key, suffix)
        if path.exists():
            return _Done(path, False, how)
    put = outbox.put(conversation_id, key, content, suffix=LATER)
    return _Done(put.path, put.is_new, "later")


def hand_over(server: SmtpServer, held: Claim, recipient: str) -> _Done:
    """Send the mail in hand, and record its end before anything else happens.

    Raises:
        MailNotNowError, MailRefusedError: it was certainly not sent, and may be again.
        MailUncertainError: nobody knows, and it is held.
    """
    if held.holding == "busy":
        msg = "another attempt is handing this mail over right now"
        raise MailNotNowError(msg, retry_after_seconds=_BUSY_SECONDS)
    if held.holding == "uncertain":
        _take_the_risk(server, held)
    elif held.holding != "ours":
        return _Done(held.path, False, "smtp" if held.holding == "sent" else held.holding)
    try:
        server.deliver(held.content, recipient)
    except (MailNotNowError, MailRefusedError):
        held.not_sent()
        raise
    return _Done(held.sent(), True, "smtp")


def _take_the_risk(server: SmtpServer, held: Claim) -> None:
    if server.settings.when_uncertain == "send_again":
        # With the message id of the first time: many servers drop the second one.
        held.claim_uncertain()
        return
    msg = (
        "the process ended while it handed this mail over, so nobody knows whether the server took it. Look for its "
        f"Message-ID in the server's log: if it was sent, rename {held.path} to end in .eml; if not, remove it; "
        "then resolve this review to send_email"
    )
    raise MailUncertainError(msg)


def step_of(campaign: Mapping[str, Any]) -> str:
    """Return the campaign's step: one first campaign of each type, and one for each reply it answers.

    The same reply, handled again or replayed as a campaign, keeps its step; a new reply is a new one.
    """
    kind = str(campaign["campaign_type"]).lower().replace(" ", "-")
    if "answers" not in campaign:
        return f"{kind}-first"
    cause = hashlib.sha256(str(campaign["cause"]).encode("utf-8", "surrogatepass")).hexdigest()
    # Not by kind: should a decision be taken again and fall differently, the reply is still answered once.
    return f"reply-{cause[:12]}"


def compose(mail: Mapping[str, Any], *, sender: str, message_id: str, now: datetime) -> bytes:
    """Write one mail: RFC 5322, CRLF, 7 bit unless the address itself needs UTF-8. Its date is the day it is for.

    Raises:
        ValueError, MessageError: the recipient is no address.
    """
    recipient = _one_line(mail["to"])
    message = EmailMessage(policy=_SEVEN_BIT if recipient.isascii() else SMTPUTF8)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = _one_line(mail["subject"])
    due = now + timedelta(days=int(mail.get("send_after_days", 0)))
    message["Date"] = format_datetime(due)
    message["Message-ID"] = message_id
    if due > now:
        message[DUE_HEADER] = format_datetime(due)
    addresses = message["To"].addresses
    if len(addresses) != 1 or message["To"].defects:
        msg = f"{recipient!r} is not one mail address, like ada@example.com"
        raise ValueError(msg)
    message.set_content(mail["body"].replace("\x00", ""), charset="utf-8")
    return message.as_bytes()


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


def _one_line(text: str) -> str:
    # A line break in a header would start a header of the attacker's choice.
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
