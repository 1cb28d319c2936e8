"""The fleet of the fault runs: a contract decides for alpha, a model between beta and gamma, opening hands on to alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import load_fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from tests.support.fleets import agent

HANDLER = {"python": "examples.fault_agents:act"}
LIMITS = {"max_concurrent": 20, "max_attempts": 3, "timeout_seconds": 20}
TAKES = {
    "alpha": "a",
    "beta": "b",
    "gamma": "b",
    "opening": "o",
    "ping": "ping",
    "pong": "pong",
}
ACTS = frozenset(TAKES)
"""All of them have an effect."""


ORDERS_FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "orders")


def fault_fleet(**descriptions: str) -> ActiveSet:
    """The active set; a description given for an agent makes another version of it."""
    return ActiveSet.of([_own(descriptions)])


def fault_fleet_and(other: Fleet) -> ActiveSet:
    """The same with another fleet beside it."""
    return ActiveSet.of([_own({}), other])


def _own(descriptions: dict[str, str]) -> Fleet:
    return Fleet(_policy(), {name: _agent(name, descriptions) for name in TAKES})


def _policy() -> FleetPolicy:
    return FleetPolicy.model_validate(
        {
            "name": "faults",
            "budgets": {"hops": 12, "seconds": 1200, "task_seconds": 300},
            "completes_on": [f"{name}.done" for name in ("alpha", "beta", "gamma")],
        }
    )


def _agent(name: str, descriptions: dict[str, str]) -> AgentDefinition:
    more: dict[str, Any] = {"description": descriptions[name]} if name in descriptions else {}
    return agent(name, [TAKES[name]], closed=False, handler=HANDLER, limits=LIMITS, **more)
