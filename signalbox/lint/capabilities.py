"""Rule `capability`: agents that say they do the same, and do not; or one that says so alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from signalbox.definitions.specs import AgentDefinition
from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject

RULE: Final = "capability"


def capabilities(subject: Subject) -> Iterator[Finding]:
    """Warn of a capability that nobody shares, and of colleagues whose answers go different ways."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, agent in subject.agents.items():
        if agent.capability is not None:
            groups[agent.capability].append(name)
    for capability, names in groups.items():
        if len(names) == 1:
            yield _alone(subject, capability, names[0], sorted(groups))
            continue
        first = subject.agents[names[0]]
        for name in names[1:]:
            agent = subject.agents[name]
            if agent.output.type != first.output.type:
                yield subject.finding(
                    RULE,
                    "warning",
                    name,
                    ("output", "type"),
                    f"{name} does {capability} as {names[0]} does, and answers with {agent.output.type}, not {first.output.type}",
                    "give both one type and schema, or the one that is different no capability",
                )
            elif _handoffs(agent) != _handoffs(first):
                yield subject.finding(
                    RULE,
                    "warning",
                    name,
                    ("handoffs",) if agent.handoffs is not None else ("name",),
                    f"{name} does {capability} as {names[0]} does, and hands off to others: where it goes on depends on the draw",
                    "give both the same handoffs",
                )


def _handoffs(agent: AgentDefinition) -> frozenset[str] | None:
    return None if agent.handoffs is None else frozenset(agent.handoffs)


def _alone(subject: Subject, capability: str, name: str, all_named: list[str]) -> Finding:
    others = [one for one in all_named if one != capability]
    hint = f"; there are {some(others)}" if others else ""
    return subject.finding(
        RULE,
        "warning",
        name,
        ("capability",),
        f"only {name} does {capability}, so nothing is shared",
        f"name it as its colleague does{hint}, or leave it out",
    )
