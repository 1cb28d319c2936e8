"""What a step answered, and what a person edited for it, kept under a number in `results`."""

from __future__ import annotations

from signalbox.contracts.envelope import Envelope
from signalbox.routing.commands import StoreResult
from signalbox.routing.turn import Turn


def keep_answer(turn: Turn, step_id: str, message: Envelope) -> int:
    """Keep `message` as the answer of `step_id` and return its number; one that replaces a refused answer takes its place."""
    return _keep(turn, turn.run.step(step_id).result, message)


def keep_edited(turn: Turn, step_id: str, message: Envelope) -> int:
    """Keep `message`, whose data has the edited input of `step_id`, and return its number; a later edit takes its place."""
    return _keep(turn, turn.run.step(step_id).edited, message)


def _keep(turn: Turn, number: int | None, message: Envelope) -> int:
    if number is None:
        number = turn.state.next_sequence
        turn.evolve(next_sequence=number + 1)
    turn.emit(StoreResult(number, message))
    turn.at_hand[number] = message
    return number
