"""From the records of a conversation to its workflow's runs. Pure.

What belongs together is known by ids alone: a task's id follows from the start message and its slot, an answer names its task, an
approval's token follows from the start message and its slot. So records of different topics need no common order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from signalbox.cli.facts import Fact
from signalbox.cli.run_seen import Asked, Given, RunSeen, StepSeen, Undoing
from signalbox.cli.run_settle import settle
from signalbox.cli.run_slots import (
    APPROVE,
    COMPENSATE,
    FAILED,
    PLAN,
    STEP,
    VALIDATE,
    Slot,
    slot_of,
)
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import TASK_ESCALATED, TASK_FAILED, TASK_STATUS, Envelope
from signalbox.contracts.ids import CANCEL_SLOT, approval_token, dispatch_id
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.contracts.review import Review
from signalbox.topics import AGENT_MESSAGES

_NAMED: Final = re.compile(r"workflow ([a-z][a-z0-9_]*)[,:] ?")
_MAX_ASKED: Final = 300
"""How often an agent may have been given a step, at most: twenty retries in each of ten rounds of a judge."""
_ENDINGS: Final = {TASK_FAILED: "failed", TASK_ESCALATED: "escalated"}


def runs_of(conversation_id: str, facts: Iterable[Fact]) -> tuple[RunSeen, ...]:
    """Return the runs of one conversation, the oldest first; none where no workflow ran in it."""
    own = sorted(
        (fact for fact in facts if fact.conversation_id == conversation_id),
        key=lambda fact: (fact.at_ms, fact.topic, fact.partition, fact.offset),
    )
    fold = _Fold(own)
    runs = sorted(fold.runs.values(), key=lambda run: run.began_ms)
    for run in runs:
        settle(run)
    return tuple(runs)


class _Fold:
    """The fold of one conversation's facts, which come sorted."""

    def __init__(self, facts: list[Fact]) -> None:
        self.runs: dict[str, RunSeen] = {}
        self._tasks: dict[str, tuple[int, Envelope]] = {}
        self._answers: dict[str, tuple[int, Envelope]] = {}
        self._lives: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._run_of_task: dict[str, str] = {}
        refused = {f.body.message_id for f in facts if isinstance(f.body, DeadLetter)}
        for fact in facts:
            if isinstance(fact.body, Envelope):
                self._index(fact, fact.body, refused)
        decided = _once((f.at_ms, f.body) for f in facts if isinstance(f.body, Decision))
        for place, (at_ms, decision) in enumerate(decided):
            self._decided(place, at_ms, decision)
        # What follows needs all runs and steps to be known; records of one topic alone are in order.
        for fact in facts:
            if isinstance(fact.body, Review):
                self._reviewed(fact.at_ms, fact.body)
            elif isinstance(fact.body, Outcome):
                self._ended(fact.at_ms, fact.body)
        for at_ms, decision in decided:
            if decision.path == "human":
                self._of_person(at_ms, decision)

    def _of_person(self, at_ms: int, decision: Decision) -> None:
        if decision.slot == CANCEL_SLOT:
            self._cancelled(at_ms, decision)
        else:
            self._agreed(decision)

    def _index(self, fact: Fact, message: Envelope, refused: set[str | None]) -> None:
        if fact.task_agent is not None:
            self._tasks.setdefault(message.id, (fact.at_ms, message))
        elif fact.topic == AGENT_MESSAGES and message.claimed_agent is not None:
            task_id = message.causationid or ""
            if message.id in refused:
                return
            if message.type == TASK_STATUS:
                self._lives[task_id] = max(fact.at_ms, self._lives.get(task_id, 0))
                if message.data.get("state") == "assigned":
                    self._taken[task_id] = fact.at_ms
            else:
                self._answers.setdefault(task_id, (fact.at_ms, message))

    def _decided(self, place: int, at_ms: int, decision: Decision) -> None:
        slot = slot_of(decision.slot)
        if slot is None or not (decision.path == "workflow" or slot.kind == APPROVE):
            return
        run = self._run(decision.message_id, at_ms)
        run.began_at = run.began_at or decision.decided_at
        run.digest = decision.definitions_digest
        run.drawn.add((decision.message_id, decision.slot))
        named = _NAMED.match(decision.reason) if decision.path == "workflow" else None
        run.name = run.name or (named[1] if named else None)
        why = decision.reason[named.end() :] if named else decision.reason
        if decision.agent != NONE and not slot.ending and slot.kind in {STEP, VALIDATE, COMPENSATE}:
            self._gave(run, slot, place, at_ms, decision)
        elif slot.kind == COMPENSATE:
            undoing = run.undoings.setdefault(slot.step, Undoing(slot.step))
            undoing.failed, undoing.failed_ms = why, at_ms
        elif slot.kind == STEP and slot.ending == FAILED:
            step = self._step(run, slot.step, place, at_ms)
            step.failed, step.failed_ms, step.failed_place = why, at_ms, place
        elif slot.kind == STEP and not slot.ending:
            self._step(run, slot.step, place, at_ms).skipped = why
        elif slot.kind == APPROVE:
            if decision.agent != NONE:
                self._step(run, slot.step, place, at_ms).planned_agent = decision.agent
        else:
            step = self._step(run, slot.step, place, at_ms)
            step.is_plan = step.is_plan or (slot.kind == PLAN and not slot.ending)
            text = why if slot.kind == PLAN else f"{decision.slot}: {why}"
            step.notes.append((at_ms, text))

    def _gave(self, run: RunSeen, slot: Slot, place: int, at_ms: int, decision: Decision) -> None:
        task_id = dispatch_id(decision.message_id, slot.text)
        self._run_of_task[task_id] = run.start_id
        written_ms, task = self._tasks.get(task_id, (at_ms, None))
        given = Given(slot, decision.agent, place, written_ms, taken_ms=self._taken.get(task_id))
        if task is not None and task.deadline is not None:
            given.due_ms = to_epoch_ms(task.deadline)
            if task_id in self._lives:
                silence_ms = given.due_ms - to_epoch_ms(task.time)
                given.due_ms = max(given.due_ms, self._lives[task_id] + silence_ms)
        if task_id in self._answers:
            _answered(given, *self._answers[task_id])
        if slot.kind == COMPENSATE:
            run.undoings.setdefault(slot.step, Undoing(slot.step)).tries.append(given)
        elif slot.kind == VALIDATE:
            self._step(run, slot.step, place, at_ms).judged.append(given)
        else:
            self._step(run, slot.step, place, at_ms).work.append(given)

    def _reviewed(self, at_ms: int, review: Review) -> None:
        if review.step is None or review.token is None:
            return
        # Of an escalation the message is the agent's answer; else it is the one that started the run.
        is_escalated = review.message.type == TASK_ESCALATED
        start_id = (
            self._run_of_task.get(review.message.causationid or "")
            if is_escalated
            else review.message.id
        )
        if start_id is None:
            return
        run = self._run(start_id, at_ms)
        run.began_ms = min(run.began_ms, at_ms)
        run.began_at = min(run.began_at or review.opened_at, review.opened_at)
        run.name = run.name or review.workflow
        step = self._step(run, review.step, -1, at_ms)
        if all(one.token != review.token for one in step.asked):
            number = _number_of(start_id, review.step, review.token)
            due_ms, default = to_epoch_ms(review.deadline), review.default or "reject"
            asked = Asked(review.token, number, review.reason, at_ms, due_ms, default)
            step.asked.append(asked)

    def _agreed(self, decision: Decision) -> None:
        slot, run = slot_of(decision.slot), self.runs.get(decision.message_id)
        if slot is None or run is None or slot.kind != APPROVE or slot.step not in run.steps:
            return
        token = approval_token(decision.message_id, decision.slot)
        for asked in run.steps[slot.step].asked:
            if asked.token == token:
                asked.answer, asked.ended_ms = decision.reason, to_epoch_ms(decision.decided_at)

    def _ended(self, at_ms: int, outcome: Outcome) -> None:
        for run in self.runs.values():
            began = run.began_at
            if began is not None and outcome.started_at <= began <= outcome.ended_at:
                run.outcome, run.ended_ms = run.outcome or outcome, run.ended_ms or at_ms

    def _cancelled(self, at_ms: int, decision: Decision) -> None:
        at = decision.decided_at
        for run in self.runs.values():
            is_over = run.outcome is not None and run.outcome.ended_at < at
            if run.began_at is not None and run.began_at <= at and not is_over:
                run.cancelled = _NAMED.sub("", decision.reason, count=1)
                run.cancelled_ms = at_ms

    def _run(self, start_id: str, at_ms: int) -> RunSeen:
        return self.runs.setdefault(start_id, RunSeen(start_id, began_ms=at_ms))

    def _step(self, run: RunSeen, step_id: str, place: int, at_ms: int) -> StepSeen:
        return run.steps.setdefault(step_id, StepSeen(step_id, place, at_ms))


def _once(decisions: Iterable[tuple[int, Decision]]) -> list[tuple[int, Decision]]:
    """Return each record once: at least once is what its topic promises."""
    found: dict[tuple[str, str], tuple[int, Decision]] = {}
    for at_ms, decision in decisions:
        found.setdefault((decision.message_id, decision.slot), (at_ms, decision))
    return list(found.values())


def _number_of(start_id: str, step_id: str, token: str) -> int:
    """Return before which task of a step a person was asked: the token is named after it."""
    for number in range(1, _MAX_ASKED):
        slot = f"{APPROVE}:{step_id}" + (f":{number}" if number > 1 else "")
        if approval_token(start_id, slot) == token:
            return number
    return 1


def _answered(given: Given, at_ms: int, answer: Envelope) -> None:
    given.ended_ms = max(at_ms, given.at_ms)
    given.ending = _ENDINGS.get(answer.type, "answered")  # type: ignore[assignment]
    given.worked_ms = answer.processingms
    if given.worked_ms is None and given.taken_ms is not None:
        given.worked_ms = max(0, given.ended_ms - given.taken_ms)
    given.answer = answer.data
    names = ("comment",) if given.ending == "answered" else ("detail", "reason")
    given.detail = next((str(answer.data[one]) for one in names if answer.data.get(one)), "")
