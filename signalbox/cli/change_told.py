"""What a change of the definitions did, and what it leaves in an odd state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition

if TYPE_CHECKING:
    from connectors.registry import Change


def changed_agents(change: Change) -> dict[str, list[str]]:
    """Return the names of the agents that were added, changed, removed."""
    return changes(digests(change.before.active.agents), digests(change.after.active.agents))


def handoff_warnings(change: Change) -> list[str]:
    """Return sentences about agents that are removed while others may hand off to them."""
    active = change.after.active.agents
    gone = [name for name in change.before.active.agents if name not in active]
    warnings = []
    for name in gone:
        senders = [other for other, one in active.items() if name in (one.handoffs or ())]
        if senders:
            warnings.append(f"{', '.join(senders)} may hand off to {name}, which is removed")
        alone = [other for other in senders if active[other].handoffs == (name,)]
        if alone:
            warnings.append(f"nobody is left whom {', '.join(alone)} may hand off to")
    if gone and not active:
        warnings.append("no agent is active any more: every message ends as NONE")
    return warnings


def digests(
    definitions: Mapping[str, AgentDefinition] | Mapping[str, WorkflowDefinition],
) -> dict[str, str]:
    """Return name → digest."""
    return {name: definition.digest for name, definition in definitions.items()}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names that were added, changed, removed."""
    return {
        "added": [name for name in after if name not in before],
        "changed": [name for name in after if name in before and before[name] != after[name]],
        "removed": [name for name in before if name not in after],
    }
