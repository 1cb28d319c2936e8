"""A lead as the form gave it, brought into one shape: trimmed, one spelling of each address, source and domain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

LEAD_SOURCES: Final = ("Demo Request", "Whitepaper", "Webinar", "Case Study", "Newsletter")
OTHER_SOURCE: Final = "Other"

FREE_MAIL_DOMAINS: Final = frozenset(
    domain
    for line in (
        "gmail.com googlemail.com yahoo.com yahoo.co.uk ymail.com hotmail.com outlook.com live.com",
        "msn.com icloud.com me.com mac.com aol.com gmx.com gmx.net gmx.de web.de mail.com proton.me",
        "protonmail.com tutanota.com yandex.com mail.ru qq.com 163.com zoho.com fastmail.com",
    )
    for domain in line.split()
)

_WHITESPACE: Final = re.compile(r"\s+")
_HONORIFICS: Final = frozenset({"mr", "mrs", "ms", "miss", "dr", "prof"})


def normalise(lead: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lead` in one shape; unknown fields stay, empty optional ones go.

    An empty company name is taken from a company's own mail domain; `ada@analytical-engines.com` → `Analytical Engines`.
    """
    clean = {name: _tidy(value) for name, value in lead.items()}
    clean["email"] = str(clean["email"]).lower()
    clean["lead_source"] = _known_source(str(clean["lead_source"]))
    for optional in ("company_website", "project_description"):
        if not clean.get(optional):
            clean.pop(optional, None)
    if not clean["company_name"]:
        clean["company_name"] = company_from_domain(own_domain(clean["email"])) or ""
    return clean


def own_domain(email: str) -> str | None:
    """Return the mail domain where it is a company's own, None for free mail."""
    domain = email.rpartition("@")[2].strip().lower()
    return None if domain in FREE_MAIL_DOMAINS else domain


def company_from_domain(domain: str | None) -> str | None:
    """Return `Analytical Engines` for `analytical-engines.co.uk`."""
    if not domain:
        return None
    labels = domain.removeprefix("www.").split(".")
    # The name is the label before the public suffix; `co.uk` and its like have two labels.
    is_two_part_suffix = len(labels) > 2 and len(labels[-2]) <= 3 and len(labels[-1]) == 2
    index = -3 if is_two_part_suffix else -2
    label = labels[index] if len(labels) >= -index else labels[0]
    return " ".join(part.capitalize() for part in re.split(r"[-_]", label) if part) or None


def company_of(lead: Mapping[str, Any]) -> str:
    """Return what to call the company of a normalised lead in a sentence."""
    return str(lead["company_name"]) or "your company"


def website_domain(website: str | None) -> str | None:
    """Return the host of a website as typed, with or without a scheme; None where there is none."""
    if not website:
        return None
    try:
        host = urlsplit(website if "//" in website else f"//{website}").hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host and "." in host else None


def first_name(name: str) -> str:
    """Return what to greet somebody by: `Dr. Grace Hopper` → `Grace`, `Hopper, Grace` → `Grace`."""
    if "," in name:
        name = name.split(",", 1)[1]
    parts = [part for part in name.split() if part.rstrip(".").lower() not in _HONORIFICS]
    return parts[0] if parts else name.strip()


def _tidy(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if "\n" in value:
        return "\n".join(_WHITESPACE.sub(" ", line).strip() for line in value.splitlines()).strip()
    return _WHITESPACE.sub(" ", value).strip()


def _known_source(given: str) -> str:
    wanted = re.sub(r"[\W_]+", " ", given).strip().lower()
    return next((source for source in LEAD_SOURCES if source.lower() == wanted), OTHER_SOURCE)
