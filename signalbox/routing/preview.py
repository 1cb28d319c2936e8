"""What would be decided for a message, without a conversation: for `route()` in SQL, `validate` and what-if questions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from signalbox.contracts.chat import ChatRequest
from signalbox.contracts.decision import NONE, Candidate, DecisionPath
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.events import is_event
from signalbox.routing.answers import UnusableAnswer, parse_answer
from signalbox.routing.candidates import Weighed, handoffs_of, weigh, why_none
from signalbox.routing.decide import target_problem
from signalbox.routing.prompt import routing_request
from signalbox.routing.rules import Rulebook, Rules
from signalbox.routing.subscriptions import NOBODY, Heard


@dataclass(frozen=True, slots=True)
class Preview:
    """A decision without state. `agent` is None while `request` must be put to a model first.

    `heard` is what the filters say: who hears the message besides, whom it pauses or resumes. `refusals` are the subscribers that
    would get no task, and why.
    """

    agent: str | None
    path: DecisionPath
    reason: str
    weighed: Weighed | None = None
    request: ChatRequest | None = None
    heard: Heard = NOBODY
    refusals: tuple[Candidate, ...] = ()

    @property
    def subscribers(self) -> tuple[str, ...]:
        """Who would get a task by subscription."""
        refused = {one.agent for one in self.refusals}
        return tuple(name for name in self.heard.subscribers if name not in refused)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Who is listed, as in a decision record; nobody where the message names its target."""
        return () if self.weighed is None else self.weighed.listed(self.agent)


def preview(message: Envelope, rules: Rules) -> Preview:
    """Decide `message` as far as targets, contracts and filters go; its claimed agent's handoffs apply, budgets do not."""
    heard = rules.subscriptions.of(message)
    is_addressed = message.target is not None
    names = tuple(
        name for name in heard.subscribers if not is_addressed and name != message.claimed_agent
    )
    heard = replace(heard, subscribers=names)
    refusals = [
        Candidate(agent=name, accepted=False, violations=violations)
        for name in names
        if (violations := rules.agents[name].contract.violations(message.data))
    ]
    refusals += [
        Candidate(agent=name, accepted=False, violations=(f"filter failed: {why}"[:300],))
        for name, why in heard.failed
    ]
    return replace(_routed(message, rules), heard=heard, refusals=tuple(refusals))


def _routed(message: Envelope, rules: Rules) -> Preview:
    if is_event(message):
        return Preview(NONE, "subscription", "an event of the orchestrator is only heard")
    sender = message.claimed_agent
    allowed = handoffs_of(sender, Rulebook(rules))
    if message.target is not None:
        problem = target_problem(message, rules, allowed)
        if problem is not None:
            return Preview(NONE, "explicit", problem)
        return Preview(message.targets[0], "explicit", "named as its target")
    candidates = weigh(message.data, rules, allowed)
    names = candidates.accepted
    if not names:
        return Preview(NONE, "contract", why_none(candidates), candidates)
    if len(names) == 1 and not rules.is_model_always(None):
        reason = f"only {names[0]} accepts the data"
        return Preview(names[0], "contract", reason, candidates)
    request = routing_request(message, names, rules, sender=sender, fleet=None)
    return Preview(None, "model", f"{len(names)} contracts accept the data", candidates, request)


def finish(preview: Preview, answer_text: str) -> Preview:
    """Complete a preview with what the model answered; an unusable answer is NONE with the problem as reason."""
    names = () if preview.weighed is None else preview.weighed.accepted
    answer = parse_answer(answer_text, names)
    if isinstance(answer, UnusableAnswer):
        return replace(
            preview,
            agent=NONE,
            path="model",
            reason=f"unusable answer: {answer.problem}",
            request=None,
        )
    return replace(preview, agent=answer.agent, path="model", reason=answer.reason, request=None)
