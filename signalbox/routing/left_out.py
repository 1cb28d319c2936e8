"""Who is left out of a decision although its contract accepts the data: it could not be reached, or somebody else does the same.

The names are kept with the message until its decision fell, so that a model that was asked is understood by the question it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import ROUTE_SLOT
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.definitions.specs import Preference
from signalbox.routing.candidates import Weighed
from signalbox.routing.colleagues import NOBODY, draw_colleagues
from signalbox.routing.kept import Detour
from signalbox.routing.turn import Turn

_NOBODY: Mapping[str, str] = {}


def silent_agents(turn: Turn, weighed: Weighed) -> Mapping[str, str]:
    """Return those of `weighed.accepted` that failed and do not want their tasks to wait, each with why it is left out."""
    failed, rules = turn.rulebook.failed, turn.rulebook.current
    if not failed or rules is None:
        return _NOBODY
    return {
        name: f"left out: no heartbeat since {rfc3339(from_epoch_ms(failed[name]))}"
        for name in weighed.accepted
        if name in failed and name in rules.agents and rules.agents[name].on_silence != "wait"
    }


def leave_out(turn: Turn, message: Envelope, weighed: Weighed) -> Weighed:
    """Return whom to ask or give `message`, and remember who is left out, for this decision.

    Not those that could not be reached, if that leaves anybody; and of those that do the same, one.
    """
    silent = silent_agents(turn, weighed)
    before = turn.state.detours.get(message.id, Detour({}))
    reachable = weighed.without({**silent, **before.avoid})
    if not reachable.accepted:
        reachable, silent = weighed, _NOBODY
    drawn = NOBODY
    if weighed.rules.has_colleagues and len(reachable.accepted) > 1:
        prefer = turn.policy.prefer or Preference()
        drawn = draw_colleagues(message.id, reachable, turn.rulebook, prefer)
    if silent or drawn.spared or before.spared:
        detour = Detour({**silent, **before.avoid}, before.number, drawn.spared)
        turn.evolve(detours={**turn.state.detours, message.id: detour})
    return replace(reachable.without(drawn.spared), told=drawn.told) if drawn.told else reachable


def as_asked(turn: Turn, message: Envelope, weighed: Weighed) -> Weighed:
    """Return `weighed` without whom the question about `message` left out."""
    detour = turn.state.detours.get(message.id)
    if detour is None:
        return weighed
    left = weighed.without({**detour.avoid, **detour.spared})
    return left if left.accepted else weighed


def is_to_be_left_out(turn: Turn, weighed: Weighed, agent: str) -> bool:
    """Say whether `agent`, which a model chose, failed meanwhile while another of `weighed` can be reached."""
    silent = silent_agents(turn, weighed)
    return agent in silent and any(name not in silent for name in weighed.accepted)


def forget(turn: Turn, message: Envelope) -> None:
    """Forget whom a decision that fell left out; what was taken back stays on record until the episode ends."""
    detour = turn.state.detours.get(message.id)
    if detour is None or (detour.number and not detour.spared):
        return
    left = {key: one for key, one in turn.state.detours.items() if key != message.id}
    if detour.number:
        left[message.id] = Detour(detour.avoid, detour.number)
    turn.evolve(detours=left)


def route_slot(turn: Turn, message: Envelope) -> str:
    """Return the slot of the decision about `message`: `route`, and from the second task on `route:2`."""
    detour = turn.state.detours.get(message.id)
    number = 0 if detour is None else detour.number
    return ROUTE_SLOT if not number else f"{ROUTE_SLOT}:{number + 1}"
