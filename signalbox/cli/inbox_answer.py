"""What a person's answer to a question says, judged before it is sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from signalbox.cli.inbox import Item
from signalbox.contracts.decision import NONE
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import UsageError

Verb = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer.

    Attributes:
        verb: agree, or refuse: a step has failed then, a message is nobody's.
        agent: who gets a message; nobody says it of a step.
        data: what the agent is given in place of what was asked about.
    """

    verb: Verb
    agent: str | None = None
    data: dict[str, Any] | None = None

    @property
    def needs_definitions(self) -> bool:
        """Whether it can be judged by the active definitions alone."""
        return self.agent is not None or self.data is not None


def answer_to(item: Item, answer: Answer, active: ActiveSet) -> dict[str, Any]:
    """Return the data of the `review.resolved` that answers `item`.

    Args:
        item: an open question.
        answer: what the person says.
        active: the active definitions; may be empty where the answer needs none.

    Raises:
        UsageError: the answer cannot be; says why.
    """
    if answer.verb == "reject" and answer.data is not None:
        msg = f"nobody is given edited data when {item.what} is rejected; leave the data as it is, or approve"
        raise UsageError(msg)
    edited = {} if answer.data is None else {"data": answer.data}
    if item.kind == "step":
        return {**_of_step(item, answer, active), **edited}
    if answer.verb == "reject":
        return {"message_id": item.name, "agent": NONE}
    return {"message_id": item.name, "agent": _chosen(item, answer, active), **edited}


def _of_step(item: Item, answer: Answer, active: ActiveSet) -> dict[str, Any]:
    if answer.agent is not None:
        msg = f"--agent is for messages; the agent of {item.what} is its workflow's to say"
        raise UsageError(msg)
    workflow = active.workflows.get(item.review.workflow or "")
    steps = () if workflow is None else workflow.steps
    # A planned task is no step of the definition; the job knows its agent, and refuses what that does not accept.
    agent = next((step.agent for step in steps if step.id == item.review.step), None)
    if agent is not None and answer.data is not None:
        _check_contract(agent, answer.data, active)
    return {"token": item.name, "decision": answer.verb}


def _chosen(item: Item, answer: Answer, active: ActiveSet) -> str:
    candidates = {one.agent: one for one in item.review.candidates}
    accepting = ", ".join(name for name, one in candidates.items() if one.accepted)
    agent = answer.agent
    if agent is None:
        who = f"; its data is accepted by {accepting}" if accepting else ""
        msg = f"{item.what} waits for somebody who gets it: say --agent NAME, or reject it{who}"
        raise UsageError(msg)
    refused = candidates.get(agent)
    if refused is not None and not refused.accepted and answer.data is None:
        msg = f"{agent} does not accept the data: {', '.join(refused.violations)}; accepted by {accepting or 'nobody'}"
        raise UsageError(msg)
    if agent not in active.agents:
        names = ", ".join(sorted(active.agents)[:20]) or "none"
        msg = f"--agent {agent!r} is no active agent; there are {names}"
        raise UsageError(msg)
    if answer.data is not None:
        _check_contract(agent, answer.data, active)
    return agent


def _check_contract(agent: str, data: dict[str, Any], active: ActiveSet) -> None:
    known = active.agents.get(agent)
    violations = () if known is None else known.input.contract.violations(data)
    if violations:
        msg = f"{agent} does not accept the edited data: {', '.join(violations)}"
        raise UsageError(msg)
