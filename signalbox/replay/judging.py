"""One recorded message before other definitions: the reducer decides it in the state it met. Pure.

Each message is decided as it was, not as the end of an invented story: its sender had been given the task, its data is
what the agent really answered, and the hops before it are those that were spent.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final

from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import REVIEW_RESOLVED, Envelope
from signalbox.replay.history import Before
from signalbox.replay.records import STOPS, Fate, fate_of
from signalbox.routing.candidates import handoffs_of
from signalbox.routing.rules import Rulebook, Rules
from signalbox.routing.simulation import Simulation
from signalbox.routing.state import Conversation, OpenDispatch

_FAR_MS = 10 * 365 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose for a message: the agent, and the data in place of its own, where they edited it.

    `is_lost`: they did, and what they made of it is not at hand.
    """

    agent: str
    data: dict[str, Any] | None = None
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A message as it came to be decided. `resolution` is what a person chose for it, if one did."""

    message: Envelope
    at_ms: int
    before: Before
    resolution: Choice | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The question has no answer to go on with, but how it ended is on record: as `fate`, having cost `tokens`."""

    fate: Fate
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Missing:
    """Nobody knows what the model would answer. `why` is for the reader."""

    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided. `asked` says whether a model call was needed; `unknown` is None where `fate` can be relied on."""

    fate: Fate
    asked: bool = False
    tokens: int = 0
    unknown: str | None = None


NOBODY: Final = Fate(None, "none")
"""The fate of a judgement that is unknown."""

_UNUSABLE: Final = ChatAnswer(text="", model="")

Judging = Generator[ChatRequest, ChatAnswer | Ended | Missing, Judgement]


def judge(case: Case, rulebook: Rulebook) -> Judging:
    """Decide `case` by `rulebook`; yields the questions it has for a model and is sent the answers."""
    message = case.message
    if message.deadline is not None:
        message = message.evolve(deadline=None)  # that it arrived in time is on record
    conversation = message.subject
    world = Simulation(rulebook, now_ms=case.at_ms)
    world.blobs[conversation] = _state(case, rulebook).encode()
    world.send(message)
    tokens = 0
    asked = False
    is_parked = False
    while (question := world.questions.get(conversation)) is not None:
        answer = _UNUSABLE if is_parked else (yield question.request)
        asked = asked or not (isinstance(answer, ChatAnswer) and answer.cached)
        if isinstance(answer, Ended):
            if answer.fate.ending != "review":
                return Judgement(answer.fate, asked=True)
            # What the model said is not on record, only that a person had to decide: as after an unusable answer.
            is_parked, answer = True, replace(_UNUSABLE, tokens_in=answer.tokens)
        if isinstance(answer, Missing):
            return Judgement(NOBODY, asked=True, unknown=answer.why)
        tokens += 0 if answer.cached else answer.tokens_in + answer.tokens_out
        world.answer(conversation, answer)
    if world.reviews and case.resolution is not None:
        if case.resolution.is_lost:
            told = "a person edited its data, in a message that the range does not have"
            return Judgement(NOBODY, asked=asked, unknown=told)
        world.send(_resolved(message, case.resolution))
    fate = _fate(world, message)
    if fate is None:
        told = f"a {message.type} that was decided then leads to no decision here"
        return Judgement(NOBODY, asked=asked, unknown=told)
    return Judgement(fate, asked, tokens)


def first_question(case: Case, rulebook: Rulebook) -> ChatRequest | None:
    """Return what a model would be asked first; None where none would be."""
    judging = judge(case, rulebook)
    try:
        return next(judging)
    except StopIteration:
        return None
    finally:
        judging.close()


def fleet_of(case: Case, rules: Rules | None) -> str | None:
    """Return whose conversation it was by `rules`: the fleet of the episode's first agent."""
    owner = None if rules is None else rules.agents.get(case.before.first_agent or "")
    return None if owner is None else owner.fleet


def _state(case: Case, rulebook: Rulebook) -> Conversation:
    before, message = case.before, case.message
    is_reply = message.claimed_agent is not None
    state = Conversation(
        message.subject,
        episode=before.episode + (before.is_open or is_reply),
        is_open=before.is_open or is_reply,
        fleet=fleet_of(case, rulebook.current),
        hops=before.hops,
        tokens=before.tokens,
        started_at_ms=case.at_ms,
        deadline_ms=case.at_ms + _FAR_MS,
        last_step=before.last_step,
    )
    if message.claimed_agent is None:
        return state
    task = {message.causationid or "": OpenDispatch(message.claimed_agent, case.at_ms + _FAR_MS)}
    return state.evolve(open=task)


def _resolved(message: Envelope, choice: Choice) -> Envelope:
    edited = {} if choice.data is None else {"data": choice.data}
    return message.evolve(
        id=f"{message.id[:200]}.resolved",
        source="cli",
        type=REVIEW_RESOLVED,
        causationid=None,
        target=None,
        tokensused=0,
        data={
            "message_id": message.id,
            "agent": choice.agent,
            "resolved_by": "recorded",
            **edited,
        },
    )


def _fate(world: Simulation, message: Envelope) -> Fate | None:
    decisions = [one for one in world.decisions if one.message_id == message.id]
    if decisions:
        stop = next((outcome for outcome in world.outcomes if outcome.status in STOPS), None)
        return fate_of(decisions, stop, message.type)
    if world.reviews:
        return Fate(None, "review", reason=world.reviews[-1].reason)
    if world.dead_letters:
        dead = world.dead_letters[0]
        return Fate(None, "dead_letter", reason=dead.detail, code=dead.reason)
    return None


def why(case: Case, before: Fate, after: Fate, rulebook: Rulebook) -> str:
    """Say in one line what made the difference: what keeps the agent of then from it, and why it ends as it does."""
    parts = []
    rules = rulebook.current
    if rules is not None and before.agent is not None:
        names = [name for name in before.agent.split(", ") if name != NONE]
        parts += [
            problem for name in names if (problem := _against(name, case, rulebook, rules, after))
        ]
    if after.ending == "stopped":
        parts.append(f"a guard stops it: {after.code}")
    if after.reason and after.reason not in parts:
        parts.append(after.reason)
    return "; ".join(parts)[:1000]


def _against(name: str, case: Case, rulebook: Rulebook, rules: Rules, after: Fate) -> str | None:
    # Asked of the definitions, because a record lists only some of its candidates.
    message = case.message
    if name not in rules.agents:
        return f"there is no agent {name}"
    allowed = handoffs_of(message.claimed_agent, rulebook)
    if allowed is not None and name not in allowed:
        return f"{message.claimed_agent} may not hand off to {name}"
    violations = rules.agents[name].contract.violations(message.data)
    if violations:
        return f"{name} does not take it: {', '.join(violations[:3])}"
    return None if name in (after.agent or "").split(", ") else f"{name} takes the data as well"
