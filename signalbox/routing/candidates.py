"""Candidates: which agents' contracts accept the data and which of them the sender may hand off to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from signalbox.contracts.decision import Candidate
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.rules import Rulebook, Rules

NOT_ALLOWED: Final = "handoffs: not allowed to the sender"


def weigh(
    data: Mapping[str, Any], rules: Rules, allowed: frozenset[str] | None
) -> tuple[Candidate, ...]:
    """Weigh every agent of `rules` for `data`, in name order.

    Args:
        data: the message's data.
        rules: the active definitions.
        allowed: the sender's handoffs; None means all.
    """
    return tuple(_weigh_one(name, data, rules, allowed) for name in sorted(rules.agents))


def accepted(candidates: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Return the names of the accepted candidates, in order."""
    return tuple(candidate.agent for candidate in candidates if candidate.accepted)


def handoffs_of(sender: str | None, rulebook: Rulebook) -> frozenset[str] | None:
    """Return whom `sender` may hand off to; None is everybody (from outside, or no allowlist).

    An agent that no kept version defines, nor the list of removed ones, may hand off to nobody: its allowlist is not known.
    """
    if sender is None:
        return None
    definition = _definition_of(sender, rulebook)
    if definition is None:
        return frozenset()
    return None if definition.handoffs is None else frozenset(definition.handoffs)


def why_none(candidates: tuple[Candidate, ...]) -> str:
    """Say in one line which fields kept every agent from taking the data."""
    if all(candidate.violations == (NOT_ALLOWED,) for candidate in candidates):
        return "the sender may hand off to nobody" if candidates else "there are no agents"
    parts = [
        f"{candidate.agent} ({', '.join(candidate.violations[:2])})"
        for candidate in candidates
        if candidate.violations
    ]
    return "no contract accepts the data: " + "; ".join(parts)


def _definition_of(agent: str, rulebook: Rulebook) -> AgentDefinition | None:
    for rules in (rulebook.current, *rulebook.earlier):
        if rules is not None and agent in rules.agents:
            return rules.agents[agent].definition
    return rulebook.retired.get(agent)


def _weigh_one(
    name: str, data: Mapping[str, Any], rules: Rules, allowed: frozenset[str] | None
) -> Candidate:
    if allowed is not None and name not in allowed:
        return Candidate(agent=name, accepted=False, violations=(NOT_ALLOWED,))
    contract = rules.agents[name].contract
    if contract.accepts(data):
        return Candidate(agent=name, accepted=True)
    return Candidate(agent=name, accepted=False, violations=contract.violations(data))
