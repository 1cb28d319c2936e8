"""What happened in a workflow's run, as lines while it goes on: each told once, whenever its record comes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from signalbox.cli.moments import duration, until
from signalbox.cli.run_seen import Asked, Given, RunSeen, StepSeen


class Event(NamedTuple):
    """Something that happened. Equal keys are the same thing."""

    at_ms: int
    key: str
    text: str


def events_of(run: RunSeen, now_ms: int) -> tuple[Event, ...]:
    """Return everything that happened so far, in the order of times."""
    found = [event for step in run.steps.values() for event in _of_step(step, now_ms)]
    for undoing in run.undoings.values():
        for one in undoing.tries:
            found.append(_given(one, f"↩ {undoing.step} is undone by {one.agent}"))
            found += _ended(one, f"{undoing.step} is undone")
        if undoing.failed is not None:
            at_ms = undoing.failed_ms or run.began_ms
            text = f"✗ {undoing.step} could not be undone: {undoing.failed}"
            found.append(Event(at_ms, f"compensate:{undoing.step}:failed", text))
    if run.cancelled is not None:
        found.append(Event(run.cancelled_ms or run.began_ms, "cancel", f"■ {run.cancelled}"))
    return tuple(sorted(found, key=lambda event: event.at_ms))


def _of_step(step: StepSeen, now_ms: int) -> Iterator[Event]:
    for one in step.work:
        again = f", attempt {one.slot.number}" if one.slot.number > 1 else ""
        yield _given(one, f"▶ {step.id} → {one.agent}{again}")
        yield from _ended(one, step.id)
    for one in step.judged:
        yield _given(one, f"▶ {step.id} is judged by {one.agent}")
        yield from _judged(step, one)
    for asked in step.asked:
        yield from _of_person(step, asked, now_ms)
    if step.failed is not None and step.failed_ms is not None:
        what = "failed and is skipped" if step.status == "skipped" else "failed"
        yield Event(step.failed_ms, f"step:{step.id}:failed", f"✗ {step.id} {what}: {step.failed}")
    if step.skipped is not None:
        why = step.skipped.removeprefix(f"step {step.id} is skipped: ")
        yield Event(step.at_ms, f"step:{step.id}:skipped", f"– {step.id} is skipped: {why}")
    for number, (at_ms, text) in enumerate(step.notes):
        yield Event(at_ms, f"note:{step.id}:{number}", f"  {step.id}: {text}")


def _given(one: Given, text: str) -> Event:
    return Event(one.at_ms, one.slot.text, text)


def _ended(one: Given, what: str) -> Iterator[Event]:
    if one.is_open or one.ended_ms is None:
        return
    after = duration(one.ended_ms - one.at_ms)
    key = f"{one.slot.text} {one.ending}"
    match one.ending:
        case "answered":
            yield Event(one.ended_ms, key, f"✓ {what}  {after}")
        case "silent":
            yield Event(one.ended_ms, key, f"✗ {what}: no answer of {one.agent} after {after}")
        case _:
            said = f": {one.detail}" if one.detail else ""
            yield Event(one.ended_ms, key, f"✗ {what}: {one.agent} {one.ending}{said}")


def _judged(step: StepSeen, one: Given) -> Iterator[Event]:
    if one.ending != "answered" or one.ended_ms is None:
        yield from _ended(one, step.id)
        return
    mark, said = ("✓", "accepts") if one.is_accepted else ("✗", "refuses")
    why = f": {one.detail}" if one.detail else ""
    yield Event(
        one.ended_ms,
        f"{one.slot.text} {one.ending}",
        f"{mark} {step.id}: {one.agent} {said} its result{why}",
    )


def _of_person(step: StepSeen, asked: Asked, now_ms: int) -> Iterator[Event]:
    due = f"due {until(asked.due_ms, now_ms)}, else {asked.default}"
    yield Event(
        asked.at_ms,
        asked.token,
        f"? {step.id} waits for a person, {due}: {asked.reason}\n"
        f"            signalbox approvals approve {asked.token}",
    )
    if asked.answer is not None and asked.ended_ms is not None:
        yield Event(asked.ended_ms, f"{asked.token} answered", f"  {asked.answer}")
