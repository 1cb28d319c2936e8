"""Send Email: writes each mail of a campaign as an RFC 5322 file into the outbox, once per conversation and step, ever.

Takes `outreach.written` or `nurture.written`, answers `email.sent`, which completes the conversation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Any, Final

from agents.outbox import Outbox, file_name
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Task

# A reserved domain (RFC 2606): nothing sent from here can ever be mistaken for a real sender.
SENDER: Final = "Signalbox <team@signalbox.invalid>"
_DOMAIN: Final = "signalbox.invalid"


def send(task: Task, context: Context) -> HandlerResult:
    """Answer `{lead, sent}`; an ordinary function, so that the disk is waited for in a thread.

    Delivery: one file per (conversation, step), however often the task is handled.
    """
    lead, campaign = task.data["lead"], task.data["campaign"]
    step = step_of(campaign)
    outbox = Outbox(context.outbox_dir)
    sent = []
    for number, mail in enumerate(campaign["emails"], start=1):
        key = f"{step}-{number}"
        message_id = f"<{file_name(task.conversation_id)}.{key}@{_DOMAIN}>"
        try:
            content = compose(mail, message_id=message_id, now=context.now())
        except (ValueError, MessageError) as error:
            return Terminal("handler_failed", f"mail {number} cannot be written: {error}")
        put = outbox.put(task.conversation_id, key, content)
        sent.append(
            {
                "file": str(put.path.relative_to(context.outbox_dir)),
                "message_id": message_id,
                "to": _one_line(mail["to"]),
                "subject": _one_line(mail["subject"]),
                "is_new": put.is_new,
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


def compose(mail: Mapping[str, Any], *, message_id: str, now: datetime) -> bytes:
    """Write one mail: RFC 5322, CRLF, UTF-8 where ASCII is not enough.

    Raises:
        ValueError, MessageError: the recipient is no address.
    """
    recipient = _one_line(mail["to"])
    message = EmailMessage(policy=SMTP if recipient.isascii() else SMTPUTF8)
    message["From"] = SENDER
    message["To"] = recipient
    message["Subject"] = _one_line(mail["subject"])
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id
    wait_days = int(mail.get("send_after_days", 0))
    if wait_days:
        message["Deferred-Delivery"] = format_datetime(now + timedelta(days=wait_days))
    addresses = message["To"].addresses
    if len(addresses) != 1 or message["To"].defects:
        msg = f"{recipient!r} is not one mail address, like ada@example.com"
        raise ValueError(msg)
    message.set_content(mail["body"].replace("\x00", ""), charset="utf-8")
    return message.as_bytes()


def _one_line(text: str) -> str:
    # A line break in a header would start a header of the attacker's choice.
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
