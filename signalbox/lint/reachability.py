"""Rule `unreachable`: nothing outside and no agent's answer can ever come to an agent.

What comes from outside is not known to a definition, so `entries` in fleet.yaml may say it. Without them an agent is taken for
one that outside speaks to, unless its input accepts all that some other agent answers, so that it is plainly made for that one.
Whoever a workflow gives tasks to is reached by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from signalbox.contracts.events import EVENT_TYPES
from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject

RULE: Final = "unreachable"


def reachability(subject: Subject) -> Iterator[Finding]:
    """Find contracts that accept nothing (error), entries that do not exist (error), agents no message can come to (warning)."""
    yield from _unknown_entries(subject)
    reached = _reached(subject)
    for name in subject.agents:
        if subject.takes(name).is_empty:
            what = f"the input contract of {name} accepts no data at all"
            remedy = "its parts contradict each other; mend the schema"
            yield subject.finding(RULE, "error", name, ("input", "schema"), what, remedy)
        elif name not in reached and not _only_listens(subject, name):
            yield subject.finding(
                RULE,
                "warning",
                name,
                ("name",),
                f"no message comes to {name}: {_why(subject, name)}",
                "let an agent hand off to it, or name it in `entries` of fleet.yaml where outside speaks to it",
            )


def _unknown_entries(subject: Subject) -> Iterator[Finding]:
    for folder in subject.folders:
        for number, name in enumerate(folder.head.entries or ()):
            if name not in subject.agents:
                what = f"entries names {name!r}, which does not exist"
                remedy = f"there are {some(sorted(subject.agents))}"
                yield subject.finding_in_fleet(
                    RULE, "error", folder, ("entries", number), what, remedy
                )


def _reached(subject: Subject) -> set[str]:
    waiting = [name for name in subject.agents if _is_entry(subject, name)]
    reached = set(waiting)
    while waiting:
        for receiver in subject.flow[waiting.pop()]:
            if receiver not in reached:
                reached.add(receiver)
                waiting.append(receiver)
    return reached


def _is_entry(subject: Subject, name: str) -> bool:
    if name in subject.in_workflows or _hears_events(subject, name):
        return True
    declared = subject.folder_of(name).head.entries
    if declared is not None:
        return name in declared
    if not subject.agents[name].is_candidate:
        return True
    return not subject.is_made_for_another(name)


def _hears_events(subject: Subject, name: str) -> bool:
    patterns = subject.heard_types(name) or ()
    return any(one.accepts(kind) for one in patterns for kind in EVENT_TYPES)


def _only_listens(subject: Subject, name: str) -> bool:
    subscribe = subject.agents[name].subscribe
    return subscribe is not None and subscribe.role == "listener"


def _senders(subject: Subject, name: str) -> list[str]:
    return [one for one in subject.agents if one != name and name in subject.fits[one]]


def _why(subject: Subject, name: str) -> str:
    senders = _senders(subject, name)
    barred = [one for one in senders if not subject.allows(one, name)]
    if not subject.agents[name].is_candidate:
        return "it is no entry, and it hears nothing that another agent answers with"
    if not senders:
        return "it is no entry, and no agent answers with what it accepts"
    if len(barred) == len(senders):
        return f"what {some(barred)} answers fits, but the handoffs do not name {name}"
    return f"it takes what {some(senders)} answers, and no message comes there either"
