"""Candidates: which agents' contracts accept the data and which of them the sender may hand off to.

Who accepts is always known in full. What is written down is bounded, however many agents there are: some of those that
accept, the nearest misses, and how many there were of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Self

from signalbox.contracts.decision import Candidate
from signalbox.contracts.nearness import nearest_first
from signalbox.definitions.contract import Contract
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.rules import Rulebook, Rules

NOT_ALLOWED: Final = "handoffs: not allowed to the sender"
MAX_LISTED: Final = 20
"""Accepting agents that a record lists."""
MAX_MISSES: Final = 5
"""Refusing agents that a record lists."""


@dataclass(frozen=True)
class Weighed:
    """Every agent of `rules` weighed for one message.

    `accepted`: those that may act, in name order. `left_out`: those that could and are not asked, each with why. `told`: by what
    somebody was drawn of those that do the same.
    """

    data: Mapping[str, Any]
    rules: Rules
    allowed: frozenset[str] | None
    accepting_groups: tuple[int, ...]
    accepted: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    told: str = ""

    @property
    def rejected_total(self) -> int:
        """How many may not act: their contract refuses the data, or the sender's handoffs do not name them."""
        return len(self.rules.pool) - len(self.accepted)

    def scored(self, scores: Mapping[str, float]) -> Self:
        """Return the same with what a model thought of the accepted ones."""
        return replace(self, scores=scores)

    def without(self, agents: Mapping[str, str]) -> Self:
        """Return the same without `agents`, of which each has its reason."""
        if not agents:
            return self
        out = {name: why for name, why in agents.items() if name in self.accepted}
        left = tuple(name for name in self.accepted if name not in out)
        return replace(self, accepted=left, left_out={**self.left_out, **out})

    def listed(self, chosen: str | None = None) -> tuple[Candidate, ...]:
        """Return what a record lists: accepting agents, `chosen` among them, then the nearest misses.

        By score; equals in the order of `scores`, which is by nearness, and without scores by name.
        """
        shown = nearest_first(self.accepted, self.scores)[:MAX_LISTED]
        if chosen in self.accepted and chosen not in shown:
            shown[-1] = chosen
        return (
            *(Candidate(agent=name, accepted=True, score=self.scores.get(name)) for name in shown),
            *self.misses,
        )

    @cached_property
    def misses(self) -> tuple[Candidate, ...]:
        """Up to five agents that may not act, the nearest first, each with what kept it from acting."""
        out = [
            Candidate(agent=name, accepted=False, violations=(why[:300],))
            for name, why in list(self.left_out.items())[:MAX_MISSES]
        ]
        names = self.rules.pool.names(self.accepting_groups)
        barred = [] if self.allowed is None else [one for one in names if one not in self.allowed]
        found = [*out, *(_barred(name) for name in barred)][:MAX_MISSES]
        near = self.rules.pool.nearest(
            self.data, self.accepting_groups, MAX_MISSES - len(found), self.allowed
        )
        return (*found, *(self._refused(name, contract) for name, contract in near))

    def _refused(self, name: str, contract: Contract) -> Candidate:
        if self.allowed is not None and name not in self.allowed:
            return _barred(name)
        violations = contract.violations(self.data)
        return Candidate(agent=name, accepted=False, violations=violations)


def weigh(data: Mapping[str, Any], rules: Rules, allowed: frozenset[str] | None) -> Weighed:
    """Weigh every agent of `rules` for `data`.

    Args:
        data: the message's data.
        rules: the active definitions.
        allowed: the sender's handoffs; None means all.
    """
    groups = rules.pool.accepting(data)
    names = rules.pool.names(groups)
    accepted = tuple(name for name in names if allowed is None or name in allowed)
    return Weighed(data, rules, allowed, groups, accepted)


def handoffs_of(sender: str | None, rulebook: Rulebook) -> frozenset[str] | None:
    """Return whom `sender` may hand off to; None is everybody (from outside, or no allowlist).

    An agent that no kept version defines, nor the list of removed ones, may hand off to nobody: its allowlist is not known.
    """
    if sender is None:
        return None
    definition = definition_of(sender, rulebook)
    if definition is None:
        return frozenset()
    return None if definition.handoffs is None else frozenset(definition.handoffs)


def why_none(weighed: Weighed) -> str:
    """Say in one line which fields kept every agent from taking the data."""
    agents, allowed = weighed.rules.agents, weighed.allowed
    if not agents:
        return "there are no agents"
    if not len(weighed.rules.pool):
        return "every agent takes what it subscribes to, and nothing is routed to any"
    if allowed is not None and allowed.isdisjoint(agents):
        return "the sender may hand off to nobody"
    parts = [f"{one.agent} ({', '.join(one.violations[:2])})" for one in weighed.misses]
    more = weighed.rejected_total - len(parts)
    return f"no contract accepts the data: {'; '.join(parts)}" + (
        f"; and {more} more" if more else ""
    )


def definition_of(agent: str, rulebook: Rulebook) -> AgentDefinition | None:
    """Return how an agent is defined: now, else before, else when it was removed; None where that is not known any more."""
    for rules in (rulebook.current, *rulebook.earlier):
        if rules is not None and agent in rules.agents:
            return rules.agents[agent].definition
    return rulebook.retired.get(agent)


def _barred(name: str) -> Candidate:
    return Candidate(agent=name, accepted=False, violations=(NOT_ALLOWED,))
