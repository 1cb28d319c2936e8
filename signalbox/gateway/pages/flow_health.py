"""How well messages flow: the score, what is the matter and what to do; and the same in one line for the live page."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from signalbox.flow.health import Finding, Health
from signalbox.gateway.flow import Length, flow_health_of
from signalbox.gateway.pages.site import PREFIX, is_part, path_of, render
from signalbox.gateway.routing import Reader

router: Final = APIRouter(prefix=f"{PREFIX}/flow", include_in_schema=False)
LENGTHS: Final = ((15, "15 minutes"), (60, "1 hour"), (360, "6 hours"))
_GOOD: Final = 90
_FAIR: Final = 60
_PLACES: Final = {"dead-letters": "dead-letters", "questions-late": "inbox/items"}
"""Where the example of a kind has its page, where that is no conversation's."""


@router.get("")
def get_flow(request: Request, caller: Reader, minutes: Length = 15) -> Response:
    """Show a window; only its numbers where htmx asks for them anew."""
    window, health = flow_health_of(request).get(minutes)
    return render(
        request,
        "flow_body" if is_part(request) else "flow",
        minutes=minutes,
        lengths=LENGTHS,
        window=window,
        health=health,
        grade=grade_of(health),
        findings=[shown(one) for one in health.findings],
        ended=sum(one.number for one in window.outcomes.values()),
        decided=sum(window.paths.values()),
    )


@router.get("/line")
def get_line(request: Request, caller: Reader) -> Response:
    """Show the last quarter of an hour in one line."""
    _, health = flow_health_of(request).get(LENGTHS[0][0])
    return render(request, "flow_line", health=health, grade=grade_of(health))


def grade_of(health: Health) -> str:
    """Return how a score is to be shown: good, warn or bad."""
    return "good" if health.score >= _GOOD else "warn" if health.score >= _FAIR else "bad"


def shown(finding: Finding) -> dict[str, Any]:
    """Write a finding for its page: the remedy as runs of (text, is a command), the example with its place."""
    place = _PLACES.get(finding.code, "conversations")
    runs = [(text, number % 2 == 1) for number, text in enumerate(finding.remedy.split("`"))]
    example = finding.example
    return {
        "code": finding.code,
        "what": finding.what,
        "points": finding.points,
        "remedy": runs,
        "example": example,
        "place": None if example is None else f"{PREFIX}/{place}/{path_of(example)}",
    }
