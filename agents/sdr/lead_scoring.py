"""Lead Scoring without a model: points that a person can add up, pessimistic by design.

Takes `lead.enriched`, answers `lead.scored`. A terse form or a free-mail address counts against a lead; only a good fit
with a stated need is worth a salesperson's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agents.result import Reply
from agents.sdr.lead import normalise
from agents.task import Context, Task

ENGAGE: Final = "Actively Engage"
NURTURE: Final = "Nurture"
ENGAGE_FROM: Final = 60
EMBEDDED: Final = "embedded"

_BASE_POINTS: Final = 15
_SOURCE_POINTS: Final = {
    "Demo Request": 25,
    "Case Study": 12,
    "Webinar": 8,
    "Whitepaper": 6,
    "Newsletter": 0,
}
_SENIORITY_POINTS: Final = {
    "executive": 20,
    "vice president": 20,
    "director": 16,
    "manager": 10,
    "individual": 4,
    "unknown": 0,
    "student": -20,
}
_PERSONAS: Final = frozenset({"data", "engineering", "operations", "it", "general management"})
_TERSE_WORDS: Final = 8
_DETAILED_WORDS: Final = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the breakdown."""

    factor: str
    points: int
    why: str


def score(task: Task, context: Context) -> Reply:
    """Answer `{lead, report, score}`; the same lead and report always give the same score."""
    lead, report = task.data["lead"], task.data["report"]
    lines = breakdown(normalise(lead), report)
    total = min(100, max(0, sum(line.points for line in lines)))
    return Reply(
        data={
            "lead": lead,
            "report": report,
            "score": {
                "score": total,
                "next_step": ENGAGE if total >= ENGAGE_FROM else NURTURE,
                "talking_points": talking_points(lead, report),
                "breakdown": [
                    {"factor": line.factor, "points": line.points, "why": line.why}
                    for line in lines
                ],
                "written_by": EMBEDDED,
            },
        }
    )


def breakdown(lead: Mapping[str, Any], report: Mapping[str, Any]) -> tuple[Line, ...]:
    """Return what counts for and against a normalised `lead`, line by line."""
    contact, interest = report["contact"], report["interest"]
    source = lead["lead_source"]
    return (
        Line("base", _BASE_POINTS, "every lead starts here"),
        Line("source", _SOURCE_POINTS.get(source, 0), f"came by {source}"),
        Line(
            "seniority",
            _SENIORITY_POINTS.get(contact["seniority"], 0),
            f"{lead['job_title']} reads as {contact['seniority']}",
        ),
        _persona(contact["department"]),
        _detail(len(str(lead.get("project_description", "")).split())),
        Line("need", min(10, 5 * len(interest["topics"])), _need(interest["topics"])),
        _mail(contact),
    )


def talking_points(lead: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Return three to six things to talk about, most specific first."""
    contact, interest = report["contact"], report["interest"]
    company = report["company"]["name"] or "the company"
    points = [f"How {company} deals with {topic} today" for topic in interest["topics"][:3]]
    if lead["lead_source"] == "Demo Request":
        points.append("What the demo they asked for should show")
    else:
        points.append(f"What brought them to our {str(lead['lead_source']).lower()}")
    if contact["department"] != "unknown":
        points.append(f"What the {contact['department']} team wants to reach this year")
    points.append(f"Who else at {company} decides, and by when")
    if len(points) < 3:
        points.append("Which problem they would like to solve first")
    return points


def _persona(department: str) -> Line:
    if department in _PERSONAS:
        return Line("persona", 15, f"{department} is whom we help")
    if department == "unknown":
        return Line("persona", -5, "the title names no department")
    return Line("persona", 0, f"{department} seldom decides on this")


def _detail(count: int) -> Line:
    if count == 0:
        return Line("detail", -15, "no project description")
    if count < _TERSE_WORDS:
        return Line("detail", -10, f"a terse description of {count} words")
    if count < _DETAILED_WORDS:
        return Line("detail", 5, f"a description of {count} words")
    return Line("detail", 12, f"a detailed description of {count} words")


def _need(topics: list[str]) -> str:
    return f"speaks of {', '.join(topics)}" if topics else "names no need we know"


def _mail(contact: Mapping[str, Any]) -> Line:
    if contact["is_free_mail"]:
        return Line("mail", -20, f"writes from {contact['email_domain']}, not from a company")
    return Line("mail", 5, f"writes from {contact['email_domain']}")
