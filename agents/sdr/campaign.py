"""The campaign that outreach and nurture hand to Send Email: mails with one fixed recipient, and why they were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agents.task import Task

EMBEDDED: Final = "embedded"
MAX_SUBJECT_CHARS: Final = 200
MAX_BODY_CHARS: Final = 8000


def campaign(task: Task, campaign_type: str, mails: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return `{lead, campaign}` for `mails` of `{subject, body[, send_after_days]}`, written by templates.

    The recipient is the lead's own address, whatever a text says; `cause` and `answers` make the campaign's step.
    """
    lead = task.data["lead"]
    written: dict[str, Any] = {
        "campaign_type": campaign_type,
        "emails": [{"to": lead["email"], **_fitted(mail)} for mail in mails],
        "cause": task.envelope.causationid or task.id,
        "written_by": EMBEDDED,
    }
    if "reply" in task.data:
        written["answers"] = task.data["reply"]
    return {"lead": lead, "campaign": written}


def _fitted(mail: dict[str, Any]) -> dict[str, Any]:
    subject = " ".join(mail["subject"].split())
    return {
        **mail,
        "subject": subject[:MAX_SUBJECT_CHARS],
        "body": mail["body"][:MAX_BODY_CHARS],
    }
