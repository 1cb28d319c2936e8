"""Rule `catch-all`: an input contract so general that it accepts data of which it knows no field.

Beside other agents every message then has one candidate more: what a contract would have decided becomes a question to a model,
and what nobody should get has a taker.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from signalbox.lint.finding import Finding
from signalbox.lint.subject import Subject

RULE: Final = "catch-all"
_UNKNOWN: Final = {"a field that no contract knows": True}


def catch_all(subject: Subject) -> Iterator[Finding]:
    """Warn of candidates that take anything, where there are other candidates."""
    candidates = [name for name, agent in subject.agents.items() if agent.is_candidate]
    for name in candidates if len(candidates) > 1 else ():
        if subject.agents[name].input.contract.accepts(_UNKNOWN):
            what = f"{name} accepts data of which its contract knows no field, so it is a candidate for every message"
            remedy = "require the field that makes a message its own; to hear everything as well, `subscribe` as a listener"
            yield subject.finding(RULE, "warning", name, ("input", "schema"), what, remedy)
