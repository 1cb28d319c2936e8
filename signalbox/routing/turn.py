"""One turn of the reducer: the conversation as it changes, and the commands so far. Local to a `reduce` call, never shared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from signalbox.contracts.dead_letter import DeadLetter, DeadLetterReason
from signalbox.contracts.decision import MAX_ANSWER_CHARS, Candidate, Decision, DecisionPath
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import seen_hash
from signalbox.contracts.outcome import Outcome, OutcomeStatus
from signalbox.contracts.record import from_epoch_ms
from signalbox.contracts.review import SAID, Review
from signalbox.definitions.specs import FleetPolicy
from signalbox.routing.candidates import Weighed
from signalbox.routing.commands import (
    Command,
    DropPending,
    DropResults,
    EmitDeadLetter,
    EmitOutcome,
    EmitReview,
    Recall,
    RecordDecision,
    Resume,
    StorePending,
)
from signalbox.routing.kept import KeptTask
from signalbox.routing.rules import NO_POLICY, Rulebook
from signalbox.routing.state import Conversation, InFlight
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES
from signalbox.workflows.run import WorkflowRun

# What an episode's outcome says when its branches end differently: the gravest. What is not here is graver than all that is.
_GRAVITY: Final[Mapping[str, int]] = {"none": 1, "completed": 2}
_GRAVEST: Final = 3


class Turn:
    """The working copy. Every method changes `state` by replacement, so the caller's value stays as it was."""

    def __init__(self, state: Conversation, now_ms: int, rulebook: Rulebook) -> None:
        self.state = state
        self.now_ms = now_ms
        self.rulebook = rulebook
        self.commands: list[Command] = []
        self.at_hand: dict[int, Envelope | None] = {}
        """What is known of the workflow's results without asking for it, by number; None is lost."""
        self.ended: tuple[WorkflowRun, Outcome] | None = None
        """The run that ended in this turn, and with which outcome."""

    # ---- facts

    @property
    def policy(self) -> FleetPolicy:
        """The policy that bounds this conversation."""
        rules = self.rulebook.current
        return NO_POLICY if rules is None else rules.policy_of(self.state.fleet)

    @property
    def is_busy(self) -> bool:
        """Whether a further message must wait: one is in flight, others wait before it, or no definitions are active."""
        state = self.state
        return bool(state.in_flight or state.waiting) or self.rulebook.current is None

    @property
    def run(self) -> WorkflowRun:
        """The workflow's run, where there is one."""
        run = self.state.workflow
        if run is None:
            msg = "no workflow runs in this conversation"
            raise RuntimeError(msg)
        return run

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of the episode is open, waiting or in flight; a workflow apart."""
        state = self.state
        return state.is_open and not (
            state.in_flight or state.waiting or state.open or self._goes_on
        )

    @property
    def is_recalling(self) -> bool:
        """Whether results were asked for, so that the workflow goes on when they are there."""
        return any(isinstance(command, Recall) for command in self.commands)

    @property
    def _goes_on(self) -> bool:
        return any(isinstance(command, Resume | Recall) for command in self.commands)

    # ---- changes

    def evolve(self, **changes: Any) -> None:
        """Replace fields of the conversation."""
        self.state = self.state.evolve(**changes)

    def emit(self, *commands: Command) -> None:
        """Ask for `commands`, in order."""
        self.commands.extend(commands)

    def mark_seen(self, message_id: str) -> None:
        """Remember the id, so that its next appearance is a duplicate."""
        self.evolve(seen=self.state.seen + seen_hash(message_id))

    def begin_episode(self) -> None:
        """Open the conversation with fresh budgets."""
        seconds = self.policy.budgets.seconds
        self.evolve(
            episode=self.state.episode + 1,
            is_open=True,
            fleet=None,
            hops=0,
            tokens=0,
            started_at_ms=self.now_ms,
            deadline_ms=self.now_ms + int(seconds * 1000),
            last_agent=None,
            last_step=None,
            verdict=None,
            verdict_detail="",
            open={},
            heard={},
        )

    def close_task(self, task_id: str) -> None:
        """Forget an open task: it was answered, or nobody waits for its answer any more."""
        left = {key: value for key, value in self.state.open.items() if key != task_id}
        self.evolve(open=left)
        if self.state.kept:
            self.forget_task(task_id)

    def keep_task(self, task_id: str, kept: KeptTask) -> None:
        """Remember `kept` of an open task until it is closed."""
        self.evolve(kept={**self.state.kept, task_id: kept})

    def forget_task(self, task_id: str) -> None:
        """Forget what was kept of a task; it stays open, if it is."""
        kept = self.state.kept.get(task_id)
        if kept is None:
            return
        self.evolve(kept={key: one for key, one in self.state.kept.items() if key != task_id})
        if kept.sequence is not None:
            self.emit(DropResults((kept.sequence,)))

    def store(self, message: Envelope) -> int:
        """Keep `message` in durable state; return its sequence number."""
        sequence = self.state.next_sequence
        self.evolve(next_sequence=sequence + 1)
        self.emit(StorePending(sequence, message))
        return sequence

    def release(self, sequence: int | None) -> None:
        """Forget a kept message, and that it was in flight. None was never kept."""
        if sequence is None:
            return
        self.emit(DropPending(sequence))
        if self.state.in_flight is not None and self.state.in_flight.sequence == sequence:
            self.evolve(in_flight=None)

    def judge(self, status: OutcomeStatus, detail: str) -> None:
        """Let a branch end with `status`; the outcome is written once nothing is open any more."""
        if _gravity(status) >= _gravity(self.state.verdict):
            self.evolve(verdict=status, verdict_detail=detail)

    def end_episode(
        self, status: OutcomeStatus, detail: str, *, result: dict[str, Any] | None = None
    ) -> None:
        """Write the outcome and close the episode. What was in flight is part of it; open dispatches become late."""
        state = self.state
        if state.in_flight is not None:
            self.release(state.in_flight.sequence)
        outcome = Outcome(
            conversation_id=state.id,
            episode=state.episode,
            status=status,
            last_agent=state.last_agent,
            hops=state.hops,
            tokens=state.tokens,
            started_at=from_epoch_ms(state.started_at_ms),
            ended_at=from_epoch_ms(self.now_ms),
            detail=detail[:2000],
            result=result,
        )
        self.emit(EmitOutcome(outcome))
        if state.workflow is not None:
            self.emit(DropResults(state.workflow.kept))
            self.ended = state.workflow, outcome
        for task_id in state.kept:
            self.forget_task(task_id)
        self.evolve(
            is_open=False,
            in_flight=None,
            open={},
            workflow=None,
            detours={},
            verdict=None,
            verdict_detail="",
        )

    def dead_letter(
        self,
        message: Envelope,
        reason: DeadLetterReason,
        detail: str,
        *,
        origin: Origin | None = None,
        attempts: int = 1,
    ) -> None:
        """Ask for the dead letter of `message`."""
        origin = origin or Origin(AGENT_MESSAGES)
        self.emit(
            EmitDeadLetter(
                DeadLetter.of(
                    message.to_json(),
                    topic=origin.topic,
                    partition=origin.partition,
                    offset=origin.offset,
                    key=origin.key,
                    message_id=message.id,
                    conversation_id=message.subject,
                    reason=reason,
                    detail=detail,
                    attempts=attempts,
                    failed_at=from_epoch_ms(self.now_ms),
                )
            )
        )

    def record(
        self,
        message: Envelope,
        *,
        slot: str,
        agent: str,
        path: DecisionPath,
        reason: str,
        candidates: Weighed | None,
        **more: Any,
    ) -> None:
        """Ask for the decision record. Where nobody was weighed it lists `agent` alone."""
        self.record_as(
            message.id,
            slot=slot,
            agent=agent,
            path=path,
            reason=reason,
            candidates=candidates,
            **more,
        )

    def record_as(
        self,
        message_id: str,
        *,
        slot: str,
        agent: str,
        path: DecisionPath,
        reason: str,
        candidates: Weighed | None = None,
        **more: Any,
    ) -> None:
        """Ask for the decision record about a message of which the id alone is at hand."""
        rules = self.rulebook.current
        answer = more.pop("answer", None)
        self.emit(
            RecordDecision(
                Decision(
                    message_id=message_id,
                    slot=slot,
                    conversation_id=self.state.id,
                    hop=self.state.hops,
                    agent=agent,
                    path=path,
                    reason=reason[:1000],
                    **_listed(candidates, agent),
                    definitions_digest=more.pop("definitions", rules.digest if rules else "none"),
                    answer=None if answer is None else answer[:MAX_ANSWER_CHARS],
                    decided_at=from_epoch_ms(self.now_ms),
                    **more,
                )
            )
        )

    def park(
        self,
        message: Envelope,
        candidates: Weighed | None,
        reason: str,
        *,
        sender: str | None,
        sequence: int | None,
        **asked: Any,
    ) -> None:
        """Hand `message` to a person: it stays in flight, parked, until it is resolved or its deadline passes.

        `asked` are the facts of a decision by the model that was asked before; the review keeps what it was asked and said.
        """
        deadline_ms = self.now_ms + int(self.policy.review.deadline_seconds * 1000)
        # A person may take longer than the agents' time budget: waiting for one is not spending it.
        self.evolve(deadline_ms=max(self.state.deadline_ms, deadline_ms + 1))
        kept = self.store(message) if sequence is None else sequence
        rules = self.rulebook.current
        # What the model cost before a person was asked stays with the message: its decision will say so.
        before = self.state.in_flight
        if before is not None and before.sequence != kept:
            before = None
        self.evolve(
            in_flight=InFlight(
                sequence=kept,
                message_id=message.id,
                sender=sender,
                phase="parked",
                definitions=rules.digest if rules else "none",
                review_deadline_ms=deadline_ms,
                tokens_in=0 if before is None else before.tokens_in,
                tokens_out=0 if before is None else before.tokens_out,
            )
        )
        self.emit(
            EmitReview(
                Review(
                    conversation_id=self.state.id,
                    message=message,
                    **_listed(candidates),
                    reason=reason[:1000],
                    deadline=from_epoch_ms(deadline_ms),
                    opened_at=from_epoch_ms(self.now_ms),
                    definitions_digest=asked.get("definitions", rules.digest if rules else None),
                    **_said(asked),
                )
            )
        )

    def settle(self) -> None:
        """Close the turn: give the next waiting message its turn, or write the outcome when nothing is left to do."""
        state = self.state
        if state.in_flight is not None or self._goes_on:
            return
        if state.waiting:
            if self.rulebook.current is not None:
                self.emit(Resume(state.waiting[0].sequence))
        elif state.is_open and not state.open and state.workflow is None:
            self.end_episode(state.verdict or "none", state.verdict_detail)  # type: ignore[arg-type]


def _gravity(status: str | None) -> int:
    return 0 if status is None else _GRAVITY.get(status, _GRAVEST)


def _said(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a decision's facts what a model was asked and said."""
    found = {name: facts[name] for name in SAID if facts.get(name) is not None}
    return {**found, "answer": found["answer"][:MAX_ANSWER_CHARS]} if "answer" in found else found


@lru_cache(maxsize=4096)  # the same few, task after task
def _alone(agent: str) -> Candidate:
    return Candidate(agent=agent, accepted=True)


def _listed(candidates: Weighed | None, chosen: str | None = None) -> dict[str, Any]:
    if candidates is None:
        return {} if chosen is None else {"candidates": (_alone(chosen),)}
    return {
        "candidates": candidates.listed(chosen),
        "accepted_total": len(candidates.accepted),
        "rejected_total": candidates.rejected_total,
    }
