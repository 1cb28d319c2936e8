"""Nurture Campaign without a model: three mails chosen by where a lead came from and what interests it.

Takes `lead.scored` (next step `Nurture`) or `lead.replied` (somebody who says "later"), answers `nurture.written`.
A reply that names a season or a month moves the mails there.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from agents.result import Reply
from agents.sdr.campaign import campaign
from agents.sdr.lead import company_of, first_name, normalise
from agents.sdr.lead_ingestion import topics_of
from agents.task import Context, Task
from agents.templates import render

CAMPAIGN_TYPE: Final = "Nurture"
_SPACING_DAYS: Final = (0, 7, 21)
_LATER_DAYS: Final = 90

_STARTS: Final = {
    "Demo Request": "Before the demo: what others asked first",
    "Whitepaper": "More on the paper you read",
    "Webinar": "What we did not get to in the webinar",
    "Case Study": "How others did what you read about",
    "Newsletter": "One idea a month, and this is the first",
}
_GREETING: Final = "Hello {{ first_name }},\n\n"
_FAREWELL: Final = "\nKind regards\nThe Signalbox team\n\nNo longer interesting? Answer with one word and we stop.\n"
_FIRST: Final = (
    _GREETING
    + """\
{% if season %}
thank you for telling me. You asked for {{ season }}, so this is the only thing I send before we speak again then:
{% else %}
thank you for your interest by way of our {{ lead.lead_source | lower }}. No hurry; here is something worth five minutes:
{% endif %}
a short piece on {{ topic }}, with the figures and what went wrong on the way.
"""
    + _FAREWELL
)
_SECOND: Final = (
    _GREETING
    + """\
other teams like {{ company }} usually start {{ topic }} with one small case that hurts every week.
Which one would it be at {{ company }}? One sentence back is enough, and I will send what fits.
"""
    + _FAREWELL
)
_THIRD: Final = (
    _GREETING
    + """\
a last note for now: there is a half-hour session on {{ topic }} in which you can try it on your own data.
If the time is right, name a day; if not, keep this mail until it is.
"""
    + _FAREWELL
)

_MONTHS: Final = tuple(month.lower() for month in calendar.month_name if month)
_SEASONS: Final = {
    "spring": 3,
    "summer": 6,
    "autumn": 9,
    "fall": 9,
    "winter": 12,
    "next year": 1,
    "new year": 1,
    "q1": 1,
    "q2": 4,
    "q3": 7,
    "q4": 10,
}
_WORDS: Final = "|".join([*(month for month in _MONTHS if month != "may"), *_SEASONS])
# "may" the month has a preposition before it; "may" the verb has not.
_MAY: Final = r"(?:in|until|by|before|after|next|early|late|mid) may"
_WHEN: Final = re.compile(rf"\b(?:(?P<may>{_MAY})|(?P<word>{_WORDS}))\b", re.IGNORECASE)


def write(task: Task, context: Context) -> Reply:
    """Answer `{lead, campaign}` with three mails.

    Time: reads `context.now()` to say in how many days a named season begins.
    """
    lead = normalise(task.data["lead"])
    reply = task.data.get("reply")
    season, wait_days = when(reply["text"], context.now()) if reply else ("", 0)
    topics = _topics(lead, task.data)
    values = {
        "lead": lead,
        "company": company_of(lead),
        "first_name": first_name(lead["name"]),
        "topic": topics[0],
        "season": season,
    }
    start = _STARTS.get(lead["lead_source"], "Something worth five minutes")
    mails: list[dict[str, Any]] = [
        {"subject": start, "body": render(_FIRST, **values)},
        {"subject": f"Where would {topics[-1]} help {company_of(lead)} most?", "body": render(_SECOND, **values)},
        {"subject": f"Half an hour on {topics[0]}", "body": render(_THIRD, **values)},
    ]  # fmt: skip
    delays = (0, wait_days, wait_days + 14) if reply else _SPACING_DAYS
    for mail, days in zip(mails, delays, strict=True):
        mail["send_after_days"] = days
    return Reply(data=campaign(task, CAMPAIGN_TYPE, mails))


def when(text: str, now: datetime) -> tuple[str, int]:
    """Return the season or month that `text` names and the days until it begins; `("", 90)` where it names none."""
    found = _WHEN.search(text)
    if found is None:
        return "", _LATER_DAYS
    word = "may" if found["may"] else found["word"].lower()
    month = _SEASONS.get(word) or _MONTHS.index(word) + 1
    begins = now.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
    if begins <= now:
        begins = begins.replace(year=begins.year + 1)
    shown = word.capitalize() if word in _MONTHS or word.startswith("q") else word
    return shown, (begins - now).days + 1


def _topics(lead: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    known = data["report"]["interest"]["topics"] if "report" in data else None
    topics = topics_of(str(lead.get("project_description", ""))) if known is None else list(known)
    return topics or ["working with data as it happens"]
