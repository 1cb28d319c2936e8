"""Active Outreach without a model: one personal mail from templates, to a lead worth talking to or in answer to a reply.

Takes `lead.scored` (next step `Actively Engage`) or `lead.replied`, answers `outreach.written`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from agents.result import Reply
from agents.sdr.campaign import campaign
from agents.sdr.lead import company_of, first_name, normalise
from agents.task import Context, Task
from agents.templates import render

CAMPAIGN_TYPE: Final = "Actively Engage"

_OPENING_SUBJECT: Final = "{{ company }} and {{ topic }}"
_OPENING: Final = """\
Hello {{ first_name }},

{% if lead.lead_source == "Demo Request" %}
thank you for asking for a demo.
{% else %}
thank you for your interest in our {{ lead.lead_source | lower }}.
{% endif %}
{% if lead.project_description is defined %}
You wrote about your project:

    {{ lead.project_description | truncate(300) | replace("\\n", "\\n    ") }}

{% endif %}
As {{ lead.job_title }} at {{ company }} you will know best what matters first. I would like to talk about:

{% for point in talking_points %}
- {{ point }}
{% endfor %}

Would half an hour this week or next suit you? Name a time and I will be there.

Kind regards
The Signalbox team
"""

_REPLY_SUBJECT: Final = "Re: {{ subject }}"
_ANSWERS: Final = {
    "introduction": """\
that is a fair question. We are the Signalbox team: we help companies act on their data while it happens. I wrote
because you came to us by {{ lead.lead_source }}; if that was not you, tell me and you will not hear from us again.""",
    "meeting": """\
gladly. Half an hour is enough to show you what it would look like at {{ company }}. Which day this week or next suits
you, and who else should see it?""",
    "price": """\
the price depends on how much you run and who supports it, so any figure now would be a guess. Let us spend half an hour
on what {{ company }} needs, and you will have a written offer the day after.""",
    "question": """\
thank you for writing back. I read your question and will answer it properly: the quickest way is half an hour on the
phone, and if you prefer it in writing, say so and I will send it.""",
}
_REPLY: Final = """\
Hello {{ first_name }},

{{ answer }}

Kind regards
The Signalbox team

{% for line in text.splitlines()[:20] %}
> {{ line | truncate(200) }}
{% endfor %}
"""
# The first row that matches wins.
_WANTS: Final = (
    ("introduction", re.compile(r"\bwho (are|is)\b|\bwhere did you get\b|\bdo i know you\b", re.I)),
    ("price", re.compile(r"\bpric(e|es|ing)\b|\bcosts?\b|\bquote\b|\bbudget\b", re.I)),
    ("meeting", re.compile(r"\b(demo|call|meet|meeting|talk|show|chat|schedule)\b", re.I)),
)


def write(task: Task, context: Context) -> Reply:
    """Answer `{lead, campaign}` with one mail; the same task always gives the same mail."""
    lead = normalise(task.data["lead"])
    mail = _answer(lead, task.data["reply"]) if "reply" in task.data else _open(lead, task.data)
    return Reply(data=campaign(task, CAMPAIGN_TYPE, [mail]))


def wanted(text: str) -> str:
    """Return what a reply asks for: `introduction`, `price`, `meeting` or `question`."""
    return next((want for want, pattern in _WANTS if pattern.search(text)), "question")


def _open(lead: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    topics = data["report"]["interest"]["topics"]
    values = {
        "lead": lead,
        "company": company_of(lead),
        "first_name": first_name(lead["name"]),
        "topic": topics[0] if topics else "your project",
        "talking_points": data["score"]["talking_points"][:5],
    }
    return {"subject": render(_OPENING_SUBJECT, **values), "body": render(_OPENING, **values)}


def _answer(lead: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    text = reply["text"]
    values = {
        "lead": lead,
        "company": company_of(lead),
        "first_name": first_name(lead["name"]),
        "subject": reply.get("subject") or f"Your message about {company_of(lead)}",
        "text": text,
    }
    answer = render(_ANSWERS[wanted(text)], **values)
    return {
        "subject": render(_REPLY_SUBJECT, **values),
        "body": render(_REPLY, answer=answer, **values),
    }
