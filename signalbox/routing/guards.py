"""Guards: what must hold before a dispatch, whatever a contract or a model says. They make termination provable.

Every dispatch costs a hop of a finite budget and every episode has a deadline, so an episode ends after finitely many messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from signalbox.definitions.specs import Budgets
from signalbox.routing.state import Conversation


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the episode ends here instead of dispatching."""

    status: Literal["hop_budget", "token_budget", "loop"]
    detail: str


def step_key(agent: str, digest: str) -> str:
    """Name one step: this data to this agent."""
    return f"{agent}:{digest}"


def check_dispatch(state: Conversation, agent: str, digest: str, budgets: Budgets) -> Stop | None:
    """Return why `agent` must not get data with `digest` now; None when it may."""
    if state.last_step == step_key(agent, digest):
        return Stop("loop", f"the same data went to {agent} twice in a row")
    return check_budgets(state, agent, budgets)


def check_budgets(state: Conversation, agent: str, budgets: Budgets) -> Stop | None:
    """Return why the episode has nothing left to spend on `agent`; a workflow's retry may give it the same data again."""
    if state.hops >= budgets.hops:
        return Stop(
            "hop_budget", f"{state.hops} of {budgets.hops} hops are spent; {agent} would be next"
        )
    if state.tokens > budgets.tokens:
        return Stop(
            "token_budget",
            f"{state.tokens} of {budgets.tokens} tokens are spent; {agent} would be next",
        )
    return None
