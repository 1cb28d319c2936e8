"""What `explain` adds to a decision's record: the prompt, its version, what was left to spend, and what another agent lacked.

Pure: the records of the conversation and the known versions of the definitions come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, Protocol

from signalbox.cli.explain_view import Explanation, is_routing
from signalbox.cli.facts import Fact
from signalbox.cli.track_record import TrackRecord, track_record
from signalbox.contracts.chat import ChatRequest
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import ROUTE_SLOT, data_digest
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.contracts.review import SAID, Review, data_given
from signalbox.replay.history import Met, history
from signalbox.replay.judging import Case, first_question, fleet_of
from signalbox.replay.records import Records, SeenMessage
from signalbox.routing.counterfactual import Counterfactual, counterfactual
from signalbox.routing.prompt import prompt_digest
from signalbox.routing.rules import Rulebook, Rules
from signalbox.topics import AGENT_MESSAGES

REVIEW_SLOT: Final = "review"


class KnownVersions(Protocol):
    """The versions of the definitions that the registry still tells of."""

    def of(self, digest: str) -> Rules | None:
        """Return the version with this digest."""

    def all(self) -> Iterable[Rules]:
        """Return every version, the newest first."""

    @property
    def newest(self) -> str | None:
        """The digest of the newest version."""


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What the episode could still spend when the decision was to be made; seconds may be negative where it was late."""

    hops: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Prompt:
    """The question as it was sent, rendered again: `verified` says that its digest is the recorded one."""

    system: str
    user: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Details:
    """Everything beside one decision's record, or a review's (slot `review`). None: it cannot be told, or there was none."""

    slot: str
    is_known: bool
    is_active: bool
    budget: BudgetLeft | None
    prompt: Prompt | None
    counterfactual: Counterfactual
    track_record: TrackRecord | None = None

    def as_json(self) -> dict[str, Any]:
        """Write the details for programs."""
        return {
            "slot": self.slot,
            "definitions": {"is_known": self.is_known, "is_active": self.is_active},
            "budget_left": None if self.budget is None else asdict(self.budget),
            "prompt": None if self.prompt is None else asdict(self.prompt),
            "counterfactual": asdict(self.counterfactual),
            "track_record": None if self.track_record is None else self.track_record.as_json(),
        }


def details_of(
    explanation: Explanation,
    facts: Iterable[Fact],
    versions: KnownVersions,
    *,
    record_of_agent: Callable[[str], TrackRecord | None] | None = None,
) -> tuple[Details, ...]:
    """Return the details of each decision of `explanation`, in its order, then those of each review that routing led to.

    Without `record_of_agent` an agent is judged by `facts`, which then are those of all conversations.
    """
    reviews = [one for one in explanation.reviews if is_routing(one)]
    if not (explanation.decisions or reviews):
        return ()
    conversation = next(one.conversation_id for one in explanation.decisions or reviews)
    known = tuple(facts)
    judge = record_of_agent or partial(track_record, facts=known)
    records = _records(conversation, known)
    met = next((one for one in history(records) if one.message_id == explanation.message_id), None)
    of_decisions = (
        replace(
            _details(decision, explanation.message, met, versions, given=_given(decision, known)),
            track_record=judge(decision.agent),
        )
        for decision in explanation.decisions
    )
    hop = 0 if met is None else met.before.hops
    of_reviews = (
        replace(
            _details(_as_decision(one, hop), explanation.message, met, versions), slot=REVIEW_SLOT
        )
        for one in reviews
    )
    return (*of_decisions, *of_reviews)


def _as_decision(review: Review, hop: int) -> Decision:
    """Read a review as the decision that it stands for: NONE, until a person decides."""
    return Decision(
        message_id=review.message.id,
        slot=ROUTE_SLOT,
        conversation_id=review.conversation_id,
        hop=hop,
        agent=NONE,
        path="contract" if review.model is None else "model",
        reason=review.reason,
        candidates=review.candidates,
        definitions_digest=review.definitions_digest or "",
        decided_at=review.opened_at,
        **{name: getattr(review, name) for name in SAID},
    )


def _given(decision: Decision, facts: Iterable[Fact]) -> Envelope | None:
    """Return the answer of the person who made other data of the message; None where nobody did."""
    if decision.data_from is None:
        return None
    messages = (fact.body for fact in facts if isinstance(fact.body, Envelope))
    return next((one for one in messages if one.id == decision.data_from), None)


def _details(
    decision: Decision,
    message: Envelope | None,
    met: Met | None,
    versions: KnownVersions,
    *,
    given: Envelope | None = None,
) -> Details:
    rules = versions.of(decision.definitions_digest)
    case = None if message is None or met is None else Case(message, met.at_ms, met.before)
    prompt = None if case is None else _prompt(decision, case, rules, versions)
    fleet = None if case is None else fleet_of(case, rules)
    if fleet is None and rules is not None and decision.agent in rules.agents:
        fleet = rules.agents[decision.agent].fleet  # the first dispatch says whose it is
    policy = None if rules is None else rules.policy_of(fleet)
    budget = None
    if policy is not None and met is not None:
        spent_ms = to_epoch_ms(decision.decided_at) - met.before.clock_ms
        paid = 0 if decision.cached else decision.tokens_in + decision.tokens_out
        arrived = 0 if message is None else message.tokensused
        budget = BudgetLeft(
            hops=policy.budgets.hops - decision.hop,
            tokens=policy.budgets.tokens - met.before.tokens - arrived - paid,
            seconds=policy.budgets.seconds - (spent_ms / 1000 if met.before.clock_ms else 0),
        )
    return Details(
        slot=decision.slot,
        is_known=rules is not None,
        is_active=decision.definitions_digest == versions.newest,
        budget=budget,
        prompt=prompt,
        counterfactual=counterfactual(decision, policy, _violations_by(rules, given or message)),
    )


def _violations_by(
    rules: Rules | None, message: Envelope | None
) -> Callable[[str], tuple[str, ...]] | None:
    if rules is None or message is None:
        return None

    def violations(agent: str) -> tuple[str, ...]:
        known = rules.agents.get(agent)
        return () if known is None else known.contract.violations(data_given(message))

    return violations


def _prompt(
    decision: Decision, case: Case, rules: Rules | None, versions: KnownVersions
) -> Prompt | None:
    """Render the question again. A digest that fits proves it, whatever version it was rendered from."""
    if decision.prompt_digest is None:
        return None
    rendered: ChatRequest | None = None
    for version in (rules, *versions.all()):
        if version is None:
            continue
        asked = first_question(case, Rulebook(version))
        if asked is not None and prompt_digest(asked) == decision.prompt_digest:
            return Prompt(asked.system, asked.user, verified=True)
        if version is rules:
            rendered = asked
    return None if rendered is None else Prompt(rendered.system, rendered.user, verified=False)


def _records(conversation_id: str, facts: Iterable[Fact]) -> Records:
    records = Records(conversation_id)
    own = sorted(
        (fact for fact in facts if fact.conversation_id == conversation_id),
        key=lambda fact: (fact.at_ms, fact.offset),
    )
    for fact in own:
        match fact.body:
            case Decision() as decision:
                records.decisions.append(decision)
            case Outcome() as outcome:
                records.outcomes.append(outcome)
            case Review() as review:
                records.reviews.append(review)
            case DeadLetter() as dead:
                records.dead_letters.append(dead)
            case Envelope() as message if fact.topic == AGENT_MESSAGES:
                records.messages.append(_seen(fact, message))
    return records


def _seen(fact: Fact, message: Envelope) -> SeenMessage:
    return SeenMessage(
        message.id,
        message.type,
        message.claimed_agent,
        message.causationid,
        fact.at_ms,
        fact.partition,
        fact.offset,
        message.tokensused,
        data_digest(data_given(message)),
        in_range=True,
    )
