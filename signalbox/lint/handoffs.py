"""Rules `unknown-handoff` and `handoff-never-fits`: an allowlist that names nobody, or somebody who could never use the answer."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject

UNKNOWN: Final = "unknown-handoff"
NEVER_FITS: Final = "handoff-never-fits"


def handoffs(subject: Subject) -> Iterator[Finding]:
    """Find names in `handoffs` that do not exist (error), and edges that no answer can take (warning)."""
    for name, agent in subject.agents.items():
        for number, other in enumerate(agent.handoffs or ()):
            place = ("handoffs", number)
            if other not in subject.agents:
                near = get_close_matches(other, subject.agents, n=1)
                remedy = f"did you mean {near[0]}?" if near else _there_are(subject)
                what = f"{name} hands off to {other!r}, which does not exist"
                yield subject.finding(UNKNOWN, "error", name, place, what, remedy)
            elif other not in subject.fits[name]:
                what = f"{name} hands off to {other}, whose input accepts nothing that {name} answers with"
                remedy = "mend output.schema or the other's input.schema, or take the name out"
                yield subject.finding(NEVER_FITS, "warning", name, place, what, remedy)


def _there_are(subject: Subject) -> str:
    return f"there are {some(sorted(subject.agents))}; an agent of another fleet is found where that folder is given too"
