"""The state each message met, taken from the records: hops from its own decision, the rest folded over the conversation. Pure.

The orchestrator's records bear one clock, so decisions and outcomes are folded in the order of their own times. Whether
a message was late, a duplicate, expired or one too many is a fact of the record and is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.replay.records import DECIDED_DEAD, Records, SeenMessage, Stops, stop_of, taken_up
from signalbox.routing.guards import step_key


@dataclass(frozen=True, slots=True)
class Before:
    """What the conversation had spent when a message was decided.

    `first_agent` was the episode's first dispatch: it says whose budgets hold. `clock_ms` is when their seconds began.
    """

    hops: int = 0
    tokens: int = 0
    episode: int = 0
    is_open: bool = False
    first_agent: str | None = None
    last_step: str | None = None
    clock_ms: int = 0


@dataclass(frozen=True, slots=True)
class Met:
    """A message's decisions (none for one that was parked or failed), when it was taken up, and the state it met."""

    message_id: str
    at_ms: int
    before: Before
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class _Event:
    at_ms: int
    order: int
    message_id: str = ""
    decisions: tuple[Decision, ...] = ()
    outcome: Outcome | None = None


def history(records: Records) -> Iterator[Met]:
    """Yield every message that came to a decision, a review or a definition-dependent end, in the order of their times."""
    seen, stops = records.genuine(), records.stops()
    state = Before()
    begun_ms: int | None = None
    for event in _events(records):
        if event.outcome is not None:
            # In one millisecond an episode can end and the next one take its first message, which is sorted before it.
            is_of_the_last = event.at_ms == begun_ms or event.outcome.hops < state.hops
            begun_ms = None
            state = (
                replace(state, episode=event.outcome.episode)
                if is_of_the_last
                else Before(episode=event.outcome.episode)
            )
            continue
        first = event.decisions[0] if event.decisions else None
        if first is not None and first.hop == 0 and state.hops > 0:
            # Its outcome bears the same millisecond, or is gone: a first hop begins an episode all the same.
            state = Before(episode=state.episode)
            begun_ms = event.at_ms
        if first is not None:
            state = replace(state, hops=first.hop)
        met = replace(state, is_open=state.is_open or state.hops > 0)
        yield Met(
            event.message_id,
            event.at_ms,
            _exact(met, stops, event, seen.get(event.message_id)),
            event.decisions,
        )
        state = _after(state, stops, event, seen)


def _events(records: Records) -> Sequence[_Event]:
    decided = records.decided()
    place = {
        (decision.message_id, decision.slot): number
        for number, decision in enumerate(records.decisions)
    }
    opened: dict[str, int] = {}
    for review in records.reviews:
        opened.setdefault(review.message.id, to_epoch_ms(review.opened_at))
    failed = {
        message_id: to_epoch_ms(dead.failed_at)
        for message_id, dead in records.died().items()
        if dead.reason in DECIDED_DEAD
    }
    events = []
    for message_id in {**decided, **opened, **failed}:
        decisions = tuple(decided.get(message_id, ()))
        times = [to_epoch_ms(decisions[0].decided_at)] if decisions else []
        times += [known[message_id] for known in (opened, failed) if message_id in known]
        order = place[message_id, decisions[0].slot] if decisions else len(place)
        events.append(_Event(min(times), order, message_id, decisions))
    events += [
        _Event(to_epoch_ms(outcome.ended_at), len(place) + 1 + order, outcome=outcome)
        for order, outcome in enumerate(records.outcomes)
    ]
    return sorted(events, key=lambda event: (event.at_ms, event.order))


def _exact(before: Before, stops: Stops, event: _Event, message: SeenMessage | None) -> Before:
    """Where a guard stopped this message, its outcome says to the token what had been spent."""
    stop = stop_of(taken_up(event.decisions), stops)
    if stop is None:
        return before
    own = sum(_spent(one) for one in event.decisions) + (message.tokens if message else 0)
    return replace(before, tokens=max(0, stop.tokens - own))


def _after(state: Before, stops: Stops, event: _Event, seen: Mapping[str, SeenMessage]) -> Before:
    message = given = seen.get(event.message_id)
    tokens = state.tokens + (message.tokens if message else 0)
    tokens += sum(_spent(decision) for decision in event.decisions)
    after = replace(state, tokens=tokens, is_open=True)
    for decision in event.decisions:
        # The edit holds as well where the task is given out again.
        if decision.data_from is not None:
            given = seen.get(decision.data_from)
        if decision.agent == NONE or (decision.message_id, decision.slot) in stops:
            continue
        at_ms = to_epoch_ms(decision.decided_at)
        is_new_clock = after.first_agent is None or decision.path == "human"
        after = replace(
            after,
            hops=decision.hop + 1,
            first_agent=after.first_agent or decision.agent,
            last_step=step_key(decision.agent, given.data_digest) if given else None,
            clock_ms=at_ms if is_new_clock else after.clock_ms,
        )
    return after


def _spent(decision: Decision) -> int:
    return 0 if decision.cached else decision.tokens_in + decision.tokens_out
