"""Lead Ingestion: tidies a lead and writes what can be known about it as a research report.

Takes `lead.submitted`, answers `lead.enriched`. It reads the form, and where `website.fetch` is on also the page the
lead names. What that says is quoted, marked as untrusted, and used for nothing here: a website cannot raise a score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from agents.result import Reply
from agents.sdr.lead import (
    FREE_MAIL_DOMAINS,
    first_name,
    normalise,
    own_domain,
    website_domain,
)
from agents.task import Context, Task
from connectors.website import WebsiteError, WebsiteReader

# The first row whose words stand in the title wins, so the senior ones come first.
_SENIORITIES: Final = (
    (
        "executive",
        "ceo cto cio cfo coo cmo cdo ciso chief founder cofounder owner president partner",
    ),
    ("vice president", "vp svp evp vice"),
    ("director", "director head"),
    ("manager", "manager lead principal supervisor"),
    ("student", "student intern trainee apprentice"),
    (
        "individual",
        "engineer developer analyst scientist architect consultant specialist administrator designer",
    ),
)
_DEPARTMENTS: Final = (
    ("data", "data analytics analyst bi ml ai machine scientist cdo"),
    (
        "engineering",
        "engineer engineering developer software architect platform devops sre cto technology technical",
    ),
    ("security", "security ciso compliance risk"),
    ("marketing", "marketing growth brand content cmo demand"),
    ("sales", "sales revenue account business cro"),
    ("operations", "operations operating logistics supply coo process"),
    ("it", "it cio information systems infrastructure"),
    ("finance", "finance financial cfo accounting controller"),
    ("general management", "ceo founder cofounder owner president managing"),
)
_TOPICS: Final = (
    ("real-time data", "real realtime time stream streaming streams event events kafka flink latency live"),
    ("automation", "automate automated automation workflow workflows manual agent agents orchestrate orchestration"),
    ("analytics", "analytics dashboard dashboards report reports reporting insight insights metrics bi"),
    ("integration", "integrate integration connect connector api apis crm salesforce legacy migration migrate"),
    ("machine learning", "ai ml model models llm machine learning predict prediction genai"),
    ("customer experience", "customer customers support personalise personalize personalization churn chatbot"),
    ("security and compliance", "security secure fraud compliance gdpr audit risk"),
    ("cost", "cost costs budget save saving savings cheaper expensive"),
)  # fmt: skip
_INTENTS: Final = {
    "Demo Request": "high",
    "Case Study": "medium",
    "Webinar": "medium",
    "Whitepaper": "medium",
}
_SOURCES: Final = {
    "unread": "Source: the form only; nothing was looked up.",
    "problem": "Source: the form only; its website could not be read.",
    "read": "Sources: the form; what the website says about itself is quoted beside this, unchecked.",
}
_MAX_PROBLEM_CHARS: Final = 300
_MAX_URL_CHARS: Final = 1000
_WORD: Final = re.compile(r"[a-z]+")


async def enrich(task: Task, context: Context) -> Reply:
    """Answer `{lead, report}`; the same lead and website always give the same report."""
    lead = normalise(task.data["lead"])
    website = await _website(lead, context.websites)
    return Reply(data={"lead": lead, "report": report(lead, website)})


async def _website(
    lead: Mapping[str, Any], websites: WebsiteReader | None
) -> dict[str, Any] | None:
    named = lead.get("company_website")
    if websites is None or not named:
        return None
    marked = {"source": "website", "is_trusted": False, "url": str(named)}
    try:
        page = await websites.read(str(named))
    except WebsiteError as error:
        # A lead whose website is down, or is a trap, is a lead all the same.
        return {**marked, "problem": str(error)[:_MAX_PROBLEM_CHARS]}
    return {**marked, "url": page.url[:_MAX_URL_CHARS], **asdict(page.text)}


def report(lead: Mapping[str, Any], website: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write the report of a normalised `lead`, and what its website says about itself beside it."""
    title = str(lead["job_title"])
    description = str(lead.get("project_description", ""))
    domain = own_domain(lead["email"])
    contact = {
        "first_name": first_name(lead["name"]),
        "seniority": _first_match(_SENIORITIES, title, "unknown"),
        "department": _first_match(_DEPARTMENTS, title, "unknown"),
        "email_domain": lead["email"].rpartition("@")[2],
        "is_free_mail": domain is None,
    }
    company = {
        "name": lead["company_name"],
        "domain": website_domain(lead.get("company_website")) or domain or "",
    }
    interest = {
        "intent": _INTENTS.get(lead["lead_source"], "low"),
        "topics": topics_of(description),
        "description_words": len(description.split()),
    }
    gaps = _gaps(lead)
    fate = "unread" if website is None else "problem" if "problem" in website else "read"
    summary = _summary(lead, contact, company, interest, gaps)
    written = {
        "source": "form and website" if fate == "read" else "form",
        "contact": contact,
        "company": company,
        "interest": interest,
        "gaps": gaps,
        "summary": f"{summary} {_SOURCES[fate]}",
    }
    return written if website is None else {**written, "website": dict(website)}


def topics_of(text: str) -> list[str]:
    """Return the topics that `text` speaks of, in a fixed order."""
    said = set(_WORD.findall(text.lower()))
    return [topic for topic, words in _TOPICS if said & set(words.split())]


def _first_match(rows: tuple[tuple[str, str], ...], title: str, otherwise: str) -> str:
    said = set(_WORD.findall(title.lower()))
    return next((label for label, words in rows if said & set(words.split())), otherwise)


def _gaps(lead: Mapping[str, Any]) -> list[str]:
    gaps = []
    if lead["email"].rpartition("@")[2] in FREE_MAIL_DOMAINS:
        gaps.append("no company mail address")
    if not lead["company_name"]:
        gaps.append("no company name")
    if not lead.get("company_website"):
        gaps.append("no company website")
    if not lead.get("project_description"):
        gaps.append("no project description")
    return gaps


def _summary(
    lead: Mapping[str, Any],
    contact: Mapping[str, Any],
    company: Mapping[str, Any],
    interest: Mapping[str, Any],
    gaps: list[str],
) -> str:
    parts = [
        f"{lead['name']} is {lead['job_title']} at {company['name'] or 'an unnamed company'} and came by {lead['lead_source']}.",
        f"Seniority: {contact['seniority']}; department: {contact['department']}.",
        f"Interested in {', '.join(interest['topics'])}."
        if interest["topics"]
        else "Says nothing specific about an interest.",
    ]
    if gaps:
        parts.append(f"Missing: {', '.join(gaps)}.")
    return " ".join(parts)
