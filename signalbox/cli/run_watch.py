"""A workflow's run that a command waits for: its steps told as they go, and how it came out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from signalbox.cli import session
from signalbox.cli.facts import Fact
from signalbox.cli.moments import duration
from signalbox.cli.run_events import events_of
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_json import run_json
from signalbox.cli.run_seen import RunSeen
from signalbox.cli.run_shape import shape_of
from signalbox.cli.screen import printable
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import ROUTE_SLOT
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.definitions.workflow import WorkflowDefinition


class WatchedRun:
    """One run as it goes on, told as it goes. `start_id`: the message that started it."""

    def __init__(self, name: str, message: Envelope, *, is_told: bool) -> None:
        self.message = message
        self.start_id = message.id
        self._name = name
        self._is_told = is_told
        self._told: set[str] = set()
        self._sent_ms = to_epoch_ms(session.now())
        self._run: RunSeen | None = None
        self._outcome: Outcome | None = None
        self._dead: DeadLetter | None = None
        self._elsewhere: Decision | None = None

    @property
    def cancelled(self) -> str | None:
        """The record of its cancel."""
        return None if self._run is None else self._run.cancelled

    def skip(self, facts: Sequence[Fact]) -> None:
        """Take what happened before as told."""
        told, self._is_told = self._is_told, False
        self.see(facts)
        self._is_told = told

    def see(self, facts: Sequence[Fact]) -> bool:
        """Take all facts there are now; True once it is over."""
        runs = runs_of(self.message.subject, facts)
        self._run = next((one for one in runs if one.start_id == self.start_id), None)
        if self._run is not None:
            self._outcome = self._run.outcome
            self._tell(self._run)
        letters = (fact.body for fact in facts if isinstance(fact.body, DeadLetter))
        self._dead = next((one for one in letters if one.message_id == self.message.id), None)
        self._elsewhere = next(
            (
                fact.body
                for fact in facts
                if isinstance(fact.body, Decision)
                and (fact.body.message_id, fact.body.slot) == (self.message.id, ROUTE_SLOT)
            ),
            None,
        )
        return any(one is not None for one in (self._outcome, self._dead, self._elsewhere))

    def report(self, definition: WorkflowDefinition, timeout: float, *, as_json: bool) -> None:
        """Print how a run that was started came out, and end with its exit code."""
        if as_json:
            session.print_json({**self._as_json(), "run": self._run_json(definition)})
        elif self._dead is not None:
            session.note(f"not started: {self._dead.reason}: {printable(self._dead.detail)}")
        elif self._elsewhere is not None:
            one = self._elsewhere
            why = printable(f"{one.agent}, by {one.path}: {one.reason}")
            session.note(f"not started: the message went to {why}; did the definitions change?")
        elif self._outcome is None:
            session.note(self._not_over(timeout))
        else:
            _print_outcome(self._outcome)
        if self._outcome is None or self._outcome.status != "completed":
            raise typer.Exit(1)

    def report_cancel(self, timeout: float, *, is_waiting: bool, as_json: bool) -> None:
        """Print what became of a cancel, and end with its exit code."""
        if as_json:
            session.print_json({**self._as_json(), "cancelled": self.cancelled})
        elif self._dead is not None:
            session.note(f"not cancelled: {printable(self._dead.detail)}")
        elif self.cancelled is None:
            session.note(
                f"sent, and not taken up within {timeout:g} s; is the job running? `signalbox status` says"
            )
        elif self._outcome is not None:
            _print_outcome(self._outcome)
        else:
            typer.echo(printable(f"workflow {self._name} is stopped: {self.cancelled}"))
            session.note(self._not_over(timeout) if is_waiting else self._what_follows())
        is_done = self.cancelled is not None and self._dead is None
        if is_waiting or self._outcome is not None:
            is_done = self._outcome is not None and self._outcome.status == "cancelled"
        if not is_done:
            raise typer.Exit(1)

    def _what_follows(self) -> str:
        return (
            "what runs comes to rest, then what was done is undone where the workflow says so; "
            f"see it with: signalbox trace {self.message.subject}"
        )

    def _not_over(self, timeout: float) -> str:
        return (
            f"not over after {timeout:g} s; it goes on: signalbox trace {self.message.subject}, "
            f"or stop it: signalbox workflows cancel {self.message.subject}"
        )

    def _tell(self, seen: RunSeen) -> None:
        for event in events_of(seen, to_epoch_ms(session.now())):
            if event.key in self._told:
                continue
            self._told.add(event.key)
            if self._is_told:
                elapsed = duration(max(0, event.at_ms - self._sent_ms), sign=True)
                typer.echo(printable(f"{elapsed:>9}  {event.text}"))

    def _as_json(self) -> dict[str, Any]:
        outcome, dead = self._outcome, self._dead
        return {
            "workflow": self._name,
            "conversation": self.message.subject,
            "message": self.message.id,
            "type": self.message.type,
            "status": None if outcome is None else outcome.status,
            "detail": None if outcome is None else outcome.detail,
            "result": None if outcome is None else outcome.result,
            "dead_letter": None if dead is None else {"reason": dead.reason, "detail": dead.detail},
        }

    def _run_json(self, definition: WorkflowDefinition) -> dict[str, Any] | None:
        seen = self._run
        if seen is None:
            return None
        return run_json(seen, shape_of(seen, definition), now_ms=to_epoch_ms(session.now()))


def _print_outcome(outcome: Outcome) -> None:
    took = int((outcome.ended_at - outcome.started_at).total_seconds() * 1000)
    detail = "" if outcome.status == "completed" else f": {outcome.detail}"
    typer.echo(printable(f"■ {outcome.status} after {duration(took)}{detail}"))
    if outcome.result is not None:
        typer.echo(printable(json.dumps(outcome.result, ensure_ascii=False, indent=2)))
