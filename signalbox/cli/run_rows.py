"""A run as rows: each step, and each step that was undone, with what is to be said of it. Pure; `run_view` puts them into columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from signalbox.cli.dag_lines import dag_lines
from signalbox.cli.moments import duration, until
from signalbox.cli.run_bar import Span, spans_of
from signalbox.cli.run_seen import Asked, Given, RunSeen, StepSeen, Undoing
from signalbox.cli.run_shape import Shape
from signalbox.workflows.graph import Needs, before

MAX_CHARS: Final = 300

_MARKS: Final = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
    "running": ("▶", "cyan"),
    "validating": ("▶", "cyan"),
    "waiting_approval": ("?", "yellow"),
    "compensated": ("↩", "yellow"),
    "compensating": ("↩", "cyan"),
    "pending": ("·", "dim"),
}
_STUCK: Final = ("!", "bold red")
_ENDED: Final = {"failed": "failed", "silent": "no answer", "escalated": "asked for a person"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the drawing, and what stands below it. Times are ms since 1970, durations ms; None is not known, or not yet.

    `rail` is what goes on of the tree beside the notes.
    """

    tree: str
    rail: str
    mark: str
    style: str
    agent: str
    began_ms: int | None
    took_ms: int | None
    worked_ms: int | None
    words: str
    spans: tuple[Span, ...]
    notes: tuple[str, ...]


def step_rows(run: RunSeen, shape: Shape, now_ms: int) -> Iterator[Row]:
    """Yield a row for each step, as a tree."""
    drawn = dag_lines(shape.needs, shape.order)
    for line, following in zip_longest(drawn, drawn[1:]):
        has_below = following is not None and len(following.prefix) > len(line.prefix)
        rail = line.prefix.replace("├─► ", "│   ").replace("└─► ", "    ")
        step = run.steps.get(line.step) or StepSeen(line.step, 0)
        is_stuck = step.is_stuck(now_ms)
        mark, style = _STUCK if is_stuck else _MARKS[run.status_of(step)]
        others = _not_before_others(line.also, shape.needs, line.step)
        also = (f"also after {', '.join(others)}",) if others else ()
        yield Row(
            tree=line.prefix + line.step,
            rail=f"{rail}│" if has_below else rail,
            mark=mark,
            style=style,
            agent=step.agent or shape.agents.get(step.id, ""),
            began_ms=step.began_ms,
            took_ms=took_ms(step.began_ms, step.ended_ms),
            worked_ms=step.worked_ms,
            words="stuck" if is_stuck else step_words(run, step),
            spans=tuple(spans_of(step.work, now_ms, judged=step.judged, asked=step.asked)),
            notes=(*also, *_step_notes(step, now_ms)),
        )


def _not_before_others(also: Sequence[str], needs: Needs, step: str) -> list[str]:
    """Return those of `also` that do not follow from what the step needs besides: a plan's tasks all come after the plan."""
    if not also:
        return []
    earlier = set().union(*(before(needs, one) for one in needs[step]))
    return [one for one in also if one not in earlier]


def undoing_rows(run: RunSeen, now_ms: int) -> Iterator[Row]:
    """Yield a row for each step that is undone, in the order in which that began."""
    for undoing in run.undoings.values():
        is_stuck = undoing.is_stuck(now_ms)
        mark, style = _STUCK if is_stuck else _MARKS[undoing.status]
        tries = undoing.tries
        began_ms = tries[0].at_ms if tries else None
        ended_ms = tries[-1].ended_ms if tries and undoing.status != "compensating" else None
        took = [one.worked_ms for one in tries if one.worked_ms is not None]
        yield Row(
            tree=undoing.step,
            rail="",
            mark=mark,
            style=style,
            agent=tries[-1].agent if tries else "",
            began_ms=began_ms,
            took_ms=took_ms(began_ms, ended_ms),
            worked_ms=sum(took) if took else None,
            words="stuck" if is_stuck else _undoing_words(undoing),
            spans=tuple(spans_of(tries, now_ms)),
            notes=tuple(_undoing_notes(undoing, now_ms)),
        )


def took_ms(began_ms: int | None, ended_ms: int | None) -> int | None:
    """Return how long something took; None where it has not ended, or never began."""
    return None if began_ms is None or ended_ms is None else max(0, ended_ms - began_ms)


def step_words(run: RunSeen, step: StepSeen) -> str:
    """Say in a word or two how far a step is."""
    undoing = run.undoings.get(step.id)
    if undoing is not None:
        before = "done" if step.status == "done" else "no answer"
        after = {"compensated": "undone", "compensating": "being undone"}
        return f"{before}, {after.get(undoing.status, 'not undone')}"
    match step.status:
        case "skipped" if step.failed is not None:
            return "failed, skipped"
        case "skipped" if step.skipped is None:
            return "not decided"
        case "waiting_approval":
            return "waits for a person"
        case "validating":
            return "is judged"
        case "pending" if run.outcome is not None or run.stopped_ms is not None:
            return "not begun"
        case "pending":
            return "to be tried again" if step.work else "waits"
        case status:
            return status


def _undoing_words(undoing: Undoing) -> str:
    return {"compensated": "undone", "compensating": "being undone"}.get(
        undoing.status, "given up" if undoing.failed is not None else "no answer"
    )


def _step_notes(step: StepSeen, now_ms: int) -> Iterator[str]:
    told = step.failed or step.skipped
    moments: list[tuple[int, int, str]] = []
    for number, one in enumerate(step.work, start=1):
        is_last = number == len(step.work)
        if one.is_open:
            moments.append((one.at_ms, number, _open(one, now_ms)))
        elif one.ending != "answered" and not (is_last and step.failed is not None):
            moments.append((one.at_ms, number, f"attempt {number}: {_ending(one)}"))
    for number, one in enumerate(step.judged):
        moments.append((one.at_ms, 100 + number, _judgement(one, now_ms)))
    for number, asked in enumerate(step.asked):
        moments.append((asked.at_ms, -10 + number, _asked(asked, now_ms)))
    yield from (_cut(text) for _, _, text in sorted(moments))
    if told is not None:
        yield _cut(told.removeprefix(f"step {step.id} is skipped: "))
    yield from (_cut(text) for _, text in step.notes)


def _undoing_notes(undoing: Undoing, now_ms: int) -> Iterator[str]:
    for number, one in enumerate(undoing.tries, start=1):
        if one.is_open:
            yield _open(one, now_ms)
        elif one.ending != "answered" and not (
            number == len(undoing.tries) and undoing.failed is not None
        ):
            yield _cut(f"attempt {number}: {_ending(one)}")
    if undoing.failed is not None:
        yield _cut(undoing.failed)


def _ending(one: Given) -> str:
    after = duration((one.ended_ms or one.at_ms) - one.at_ms)
    said = f": {one.detail}" if one.detail else ""
    return f"{_ENDED.get(one.ending, one.ending)} after {after}{said}"


def _open(one: Given, now_ms: int) -> str:
    taken = "" if one.taken_ms is None else f", took it up {until(one.taken_ms - 1, now_ms)}"
    if one.due_ms is None:
        return f"{one.agent} has it for {duration(max(0, now_ms - one.at_ms))}{taken}"
    if one.is_stuck(now_ms):
        return f"stuck: {one.agent} was to answer {until(one.due_ms, now_ms)}{taken}"
    return f"{one.agent} is to answer {until(one.due_ms, now_ms)}{taken}"


def _judgement(one: Given, now_ms: int) -> str:
    if one.is_open:
        return _open(one, now_ms)
    said = {True: "accepts", False: "refuses", None: "does not judge"}[one.is_accepted]
    after = duration((one.ended_ms or one.at_ms) - one.at_ms)
    return f"{one.agent} {said} after {after}" + (f": {one.detail}" if one.detail else "")


def _asked(asked: Asked, now_ms: int) -> str:
    if asked.answer is not None:
        return f"{asked.answer}, after {duration(max(0, (asked.ended_ms or 0) - asked.at_ms))}"
    if not asked.is_open:
        return f"nobody answered before the workflow stopped: {asked.reason}"
    return f"{asked.reason}  due {until(asked.due_ms, now_ms)}, else {asked.default}  {asked.token}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS].rpartition(' ')[0]} …"
