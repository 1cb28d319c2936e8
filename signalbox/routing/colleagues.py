"""Which of several agents that do the same work is given a message: drawn, so that each has its share. Pure.

Agents say that they do the same by one `capability`. Their shares follow how busy, reliable and fast they are, as heartbeats of the
last seconds say, weighted by the fleet's `prefer`. Were it always the best, one agent would get all that comes between two of them.
The draw is a hash of the message's id: the same message, decided again by the same figures, goes to the same agent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from signalbox.contracts.decision import Candidate
from signalbox.contracts.ids import draw
from signalbox.contracts.liveness import Load
from signalbox.definitions.specs import Preference
from signalbox.routing.candidates import Weighed
from signalbox.routing.rules import Rulebook, Rules

UNKNOWN: Final = Load(busy=0.0, reliability=1.0, took_ms=None)
"""Of whom no heartbeat told yet."""
LEAST: Final = 0.05
"""Of what a criterion counts: an agent that is full, or always fails, is tried now and then, or nobody would see it recover."""
LEFT_OUT: Final = "left out for "


@dataclass(frozen=True, slots=True)
class Drawn:
    """`spared`: those whose colleague was drawn, each with why. `told`: who was drawn, and by what."""

    spared: Mapping[str, str]
    told: str


NOBODY: Final = Drawn({}, "")


def draw_colleagues(
    message_id: str, weighed: Weighed, rulebook: Rulebook, prefer: Preference
) -> Drawn:
    """Draw one agent for each capability that several of `weighed.accepted` have."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in weighed.accepted:
        agent = weighed.rules.agents.get(name)
        capability = None if agent is None else agent.definition.capability
        if capability is not None:
            groups[capability].append(name)
    spared: dict[str, str] = {}
    told: list[str] = []
    for capability, names in groups.items():
        if len(names) == 1:
            continue
        choosable = _choosable(names, rulebook)
        loads = {name: rulebook.loads.get(name, UNKNOWN) for name in choosable}
        shares = shares_of(loads, prefer)
        chosen = _drawn(message_id, shares)
        told.append(
            f"{chosen} was drawn of {len(names)} that do {capability}: {_figures(chosen, loads, shares)}"
        )
        for name in names:
            if name != chosen:
                spared[name] = f"{LEFT_OUT}{chosen}, which does {capability} as well: " + (
                    _figures(name, loads, shares) if name in loads else "not to be reached"
                )
    return Drawn(spared, "; ".join(told)) if spared else NOBODY


def shares_of(loads: Mapping[str, Load], prefer: Preference) -> dict[str, float]:
    """Return each agent's share of the messages; together 1."""
    known = [load.took_ms for load in loads.values() if load.took_ms is not None]
    fastest_ms = max(1, min(known, default=1))
    weights = {
        name: max(LEAST, 1.0 - load.busy) ** prefer.load
        * max(LEAST, load.reliability) ** prefer.reliability
        * max(LEAST, fastest_ms / max(fastest_ms, load.took_ms or fastest_ms)) ** prefer.latency
        for name, load in loads.items()
    }
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def colleagues_of(agents: Iterable[str], rules: Rules | None) -> frozenset[str]:
    """Return the other agents that do what one of `agents` does."""
    if rules is None or not rules.has_colleagues:
        return frozenset()
    these = {name for name in agents if name in rules.agents}
    shared = {rules.agents[name].definition.capability for name in these} - {None}
    return frozenset(
        name
        for name, one in rules.agents.items()
        if name not in these and one.definition.capability in shared
    )


def spared_in(candidates: Sequence[Candidate], rules: Rules | None) -> frozenset[str]:
    """Return whom a record's candidates say to have been left out for a colleague; also those of them that it does not list."""
    named = [one.agent for one in candidates if any(_is_spared(why) for why in one.violations)]
    if not named:
        return frozenset()
    return frozenset(named) | colleagues_of(
        [one.agent for one in candidates if one.accepted], rules
    )


def _is_spared(why: str) -> bool:
    return why.startswith(LEFT_OUT)


def _choosable(names: Sequence[str], rulebook: Rulebook) -> Sequence[str]:
    """Return who is drawn among: not who failed, nor who is known to have been left out, where that leaves anybody."""
    for out in (rulebook.failed.keys() | rulebook.spared, rulebook.failed.keys(), rulebook.spared):
        left = [name for name in names if name not in out]
        if left:
            return left
    return names


def _drawn(message_id: str, shares: Mapping[str, float]) -> str:
    """Draw by weighted rendezvous: an agent that comes or goes moves no message between the others."""
    return min(shares, key=lambda name: (-math.log(draw(message_id, name)) / shares[name], name))


def _figures(name: str, loads: Mapping[str, Load], shares: Mapping[str, float]) -> str:
    load = loads[name]
    took = "" if load.took_ms is None else f", {load.took_ms} ms a task"
    return (
        f"share {shares[name]:.2f} by {load.busy:.0%} busy, {load.reliability:.0%} reliable{took}"
    )
