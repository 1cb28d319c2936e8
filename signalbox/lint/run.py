"""All rules over one subject."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.definitions.loader import FleetFolder
from signalbox.lint.capabilities import capabilities
from signalbox.lint.catch_all import catch_all
from signalbox.lint.cycles import cycles
from signalbox.lint.descriptions import descriptions
from signalbox.lint.finding import Finding
from signalbox.lint.handoffs import handoffs
from signalbox.lint.likeness import Likeness
from signalbox.lint.outputs import outputs
from signalbox.lint.overlaps import overlaps
from signalbox.lint.reachability import reachability
from signalbox.lint.subject import Subject
from signalbox.lint.subscriptions import subscriptions
from signalbox.lint.workflows import workflows


def lint(folders: Sequence[FleetFolder], likeness: Likeness) -> tuple[Finding, ...]:
    """Return every finding, by place.

    Args:
        folders: the fleets that would be active together; no two declare the same agent.
        likeness: how alike two agents' descriptions are.
    """
    subject = Subject(folders)
    found = [
        *handoffs(subject),
        *reachability(subject),
        *outputs(subject),
        *cycles(subject),
        *catch_all(subject),
        *overlaps(subject, likeness),
        *capabilities(subject),
        *descriptions(subject),
        *subscriptions(subject),
        *workflows(subject),
    ]
    return tuple(sorted(found))
