"""Rules `unheard` and `never-resumes`: a subscription that no message reaches, or its own contract refuses; a rest without end.

What comes from outside is in no definition: an agent in `entries`, or any where `entries` is absent, may hear what it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from signalbox.contracts.events import EVENT_TYPES
from signalbox.definitions.specs import RESERVED_TYPES
from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject

UNHEARD: Final = "unheard"
NEVER_RESUMES: Final = "never-resumes"


def subscriptions(subject: Subject) -> Iterator[Finding]:
    """Warn of subscriptions to the engine's own types or to what nobody emits, of refused ones, and of pauses for ever."""
    for name, agent in subject.agents.items():
        if agent.subscribe is not None:
            yield from _unheard(subject, name)
        if agent.pause_on is not None and agent.resume_on is None:
            what = f"events pause {name} and none resumes it"
            remedy = "add resume_on, or take pause_on out; a changed definition without pause_on resumes it too"
            yield subject.finding(NEVER_RESUMES, "warning", name, ("pause_on",), what, remedy)


def _unheard(subject: Subject, name: str) -> Iterator[Finding]:
    place = ("subscribe", "filters")
    patterns = subject.heard_types(name)
    if patterns is None:
        return
    shown = some(sorted(pattern.text for pattern in patterns))
    reserved = sorted(
        kind
        for kind in RESERVED_TYPES - EVENT_TYPES
        for one in patterns
        if one.is_exact and one.accepts(kind)
    )
    if reserved:
        what = f"{name} subscribes to {some(reserved)}, which the engine keeps to itself"
        remedy = "subscribe to the events of agents and of outside"
        yield subject.finding(UNHEARD, "warning", name, place, what, remedy)
        return
    if any(one.accepts(kind) for one in patterns for kind in EVENT_TYPES):
        return  # the orchestrator says so itself
    emitters = [
        one
        for one, agent in subject.agents.items()
        if one != name and any(pattern.accepts(agent.output.type) for pattern in patterns)
    ]
    refused = [one for one in emitters if not subject.gives(one).may_meet(subject.takes(name))]
    if refused and refused == emitters:
        what = (
            f"{name} hears what {some(refused)} answers, and its input contract accepts none of it"
        )
        remedy = "mend one of the two schemas, or leave the type out of the filters"
        yield subject.finding(UNHEARD, "warning", name, place, what, remedy)
    entries = subject.folder_of(name).head.entries
    if not emitters and entries is not None and name not in entries:
        what = f"{name} subscribes to {shown}, and no agent answers with such a type"
        remedy = "correct the type, or name the agent in `entries` of fleet.yaml where the events come from outside"
        yield subject.finding(UNHEARD, "warning", name, place, what, remedy)
