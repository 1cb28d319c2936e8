"""Which recorded answer may stand for a model's: the same prompt, and for a scorer the same calibration. Pure.

The answer to the very message comes first, because a model may answer one prompt in two ways.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.decision import Decision
from signalbox.replay.judging import Case, Ended, Missing, first_question, fleet_of
from signalbox.replay.records import Fate
from signalbox.routing.prompt import prompt_digest
from signalbox.routing.rules import Rulebook, Rules


class AnswerBook(Protocol):
    """The decisions that a model had a part in, by prompt."""

    def own(self, message_id: str, digest: str) -> Decision | None:
        """Return the decision of this message under this prompt."""

    def shared(self, digest: str) -> Decision | None:
        """Return a decision of any message under this prompt, one that paid for its answer before one that did not."""

    def is_first_use(self, digest: str) -> bool:
        """Say whether nobody asked for this prompt before in this replay; asking counts."""
        ...


class Versions(Protocol):
    """The definitions that were active, as far as the registry still tells."""

    def of(self, digest: str) -> Rules | None:
        """Return the version a decision names."""

    def at(self, at_ms: int) -> Rules | None:
        """Return the version that was active at a time."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Answers questions from the records. `model` restricts them to one model's; None takes whoever answered.

    A name without its variant (`embedded`) stands for every variant (`embedded:lexical`). `rulebook` is the candidate's.
    """

    book: AnswerBook
    versions: Versions
    rulebook: Rulebook
    model: str | None = None

    def answer(self, case: Case, first: Fate, request: ChatRequest) -> ChatAnswer | Ended | Missing:
        """Find what was answered to `request`, or how a question that got no answer ended.

        Args:
            case: the message the question is about.
            first: the fate it met first: a review, where a person came in, else what became of it.
            request: the question that the candidate definitions lead to.
        """
        digest = prompt_digest(request)
        fleet = fleet_of(case, self.rulebook.current)
        own = self.book.own(case.message.id, digest)
        # What this very message met with comes before what others with the same words were told.
        unanswered = None if own else self._unanswered(case, first, digest, fleet)
        if unanswered is not None:
            return unanswered
        found = own or self.book.shared(digest)
        if found is None:
            return Missing("the prompt differs from every recorded one")
        if self.model is not None and not _is_of(found.model, self.model):
            return Missing(f"{found.model} answered this prompt, not {self.model}")
        if _is_scored(found) and not self._is_calibrated_alike(found, fleet):
            return Missing(
                f"{found.model} scored this prompt under another calibration, or under one that is gone"
            )
        answer = as_answer(found)
        if own is None and not self.book.is_first_use(digest):
            # The running job would have it in its cache by now.
            answer = replace(answer, cached=True)
        return answer

    def _unanswered(
        self, case: Case, first: Fate, digest: str, fleet: str | None
    ) -> Ended | Missing | None:
        """A question that ended in a failure or a review left no answer; put again, it ends the same way.

        None where it was another question, or none.
        """
        is_failure = first.code == "model_failed"
        if not (is_failure or first.ending == "review") or self.model is not None:
            return None
        then = self.versions.at(case.at_ms)
        if then is None:
            return Missing("it got no answer then, and the definitions of that time are gone")
        asked = first_question(case, Rulebook(then))
        if asked is None or prompt_digest(asked) != digest:
            return None
        now = self.rulebook.current
        if is_failure or (
            now is not None and then.policy_of(fleet).review == now.policy_of(fleet).review
        ):
            return Ended(first)
        return Missing("the answer went to a person and is not on record; the review rules differ")

    def _is_calibrated_alike(self, decision: Decision, fleet: str | None) -> bool:
        now = self.rulebook.current
        if now is None or now.digest == decision.definitions_digest:
            return True
        then = self.versions.of(decision.definitions_digest)
        return (
            then is not None
            and then.policy_of(fleet).calibration == now.policy_of(fleet).calibration
        )


def as_answer(decision: Decision) -> ChatAnswer:
    """Write what a record says as the answer it was made of; `answer` itself may have been cut."""
    said = {
        "reason": decision.reason[:300],
        "agent": decision.agent,
        "confidence": 1.0 if decision.confidence is None else decision.confidence,
    }
    return ChatAnswer(
        text=orjson.dumps(said).decode(),
        model=decision.model or "",
        tokens_in=decision.tokens_in,
        tokens_out=decision.tokens_out,
        latency_ms=decision.latency_ms,
        cached=decision.cached,
        scores={
            candidate.agent: candidate.score
            for candidate in decision.candidates
            if candidate.score is not None
        },
    )


def _is_scored(decision: Decision) -> bool:
    return any(candidate.score is not None for candidate in decision.candidates)


def _is_of(recorded: str | None, asked: str) -> bool:
    return recorded == asked or (recorded or "").startswith(f"{asked}:")
