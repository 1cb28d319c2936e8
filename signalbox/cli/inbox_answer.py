"""What a person's answer to a question says, judged before it is sent. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from signalbox.cli.inbox import Item
from signalbox.contracts.decision import NONE
from signalbox.errors import UsageError

Verb = Literal["approve", "reject"]


def answer_to(item: Item, verb: Verb, agent: str | None, active: Collection[str]) -> dict[str, Any]:
    """Return the data of the `review.resolved` that answers `item`.

    Args:
        item: an open question.
        verb: agree, or refuse: a step has failed then, a message is nobody's.
        agent: who gets a message; nobody says it of a step.
        active: the active agents, asked only where one is chosen.

    Raises:
        UsageError: the answer cannot be; says why.
    """
    if item.kind == "step":
        if agent is not None:
            msg = f"--agent is for messages; the agent of {item.what} is its workflow's to say"
            raise UsageError(msg)
        return {"token": item.name, "decision": verb}
    if verb == "reject":
        return {"message_id": item.name, "agent": NONE}
    return {"message_id": item.name, "agent": _chosen(item, agent, active)}


def _chosen(item: Item, agent: str | None, active: Collection[str]) -> str:
    candidates = {one.agent: one for one in item.review.candidates}
    accepting = ", ".join(name for name, one in candidates.items() if one.accepted)
    if agent is None:
        who = f"; its data is accepted by {accepting}" if accepting else ""
        msg = f"{item.what} waits for somebody who gets it: say --agent NAME, or reject it{who}"
        raise UsageError(msg)
    refused = candidates.get(agent)
    if refused is not None and not refused.accepted:
        msg = f"{agent} does not accept the data: {', '.join(refused.violations)}; accepted by {accepting or 'nobody'}"
        raise UsageError(msg)
    if agent not in active:
        msg = f"--agent {agent!r} is no active agent; there are {', '.join(sorted(active)[:20]) or 'none'}"
        raise UsageError(msg)
    return agent
