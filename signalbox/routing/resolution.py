"""A person's decision about the parked message, carried out: an agent of its own choosing, on data that may have been edited."""

from __future__ import annotations

from typing import Any

from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.routing.candidates import Weighed, weigh
from signalbox.routing.decide import conclude, conclude_none, current_rules
from signalbox.routing.state import InFlight
from signalbox.routing.turn import Turn


def apply_resolution(turn: Turn, message: Envelope, in_flight: InFlight) -> None:
    """Give the parked `message` to whom the person chose, or let it end; where that agent cannot use the data, ask once more."""
    resolution = in_flight.resolution
    if resolution is None:
        return
    rules = current_rules(turn)
    # Waiting for a person does not spend the agents' time budget: it begins anew.
    turn.evolve(deadline_ms=turn.now_ms + int(turn.policy.budgets.seconds * 1000))
    is_edited = resolution.data is not None
    given = message if resolution.data is None else message.evolve(data=resolution.data)
    # A person may overrule an allowlist, never a contract: the agent could not use the data.
    candidates = weigh(given.data, rules, None)
    reason = f"{resolution.resolved_by} decided{' on edited data' if is_edited else ''}"
    if resolution.comment:
        reason = f"{reason}: {resolution.comment}"
    # A model may have been asked first; its tokens are on no other record.
    spent: dict[str, Any] = {"tokens_in": in_flight.tokens_in, "tokens_out": in_flight.tokens_out}
    if resolution.agent == NONE:
        conclude_none(
            turn,
            message,
            candidates,
            path="human",
            reason=reason,
            sender=in_flight.sender,
            sequence=in_flight.sequence,
            **spent,
        )
    elif resolution.agent not in candidates.accepted:
        _ask_person_again(turn, message, given, in_flight, candidates, resolution.agent)
    else:
        turn.release(in_flight.sequence)
        conclude(
            turn,
            given,
            resolution.agent,
            candidates,
            path="human",
            reason=reason,
            sender=in_flight.sender,
            data_from=resolution.message_id if is_edited else None,
            **spent,
        )


def _ask_person_again(
    turn: Turn,
    message: Envelope,
    given: Envelope,
    in_flight: InFlight,
    candidates: Weighed,
    agent: str,
) -> None:
    """The chosen agent could not use the data: the question stays, about the message as it came. `candidates` are of `given`."""
    told = "the data"
    if given is not message:
        rules = candidates.rules
        candidates = weigh(message.data, rules, None)
        told = f"the edited data ({', '.join(rules.agents[agent].contract.violations(given.data))})"
    problem = f"{agent} does not accept {told}; choose another agent or NONE"
    turn.park(message, candidates, problem, sender=in_flight.sender, sequence=in_flight.sequence)
