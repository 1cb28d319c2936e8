"""How healthy a window is: 100 points, less what each finding costs, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from shlex import quote
from typing import Any, Final

from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.flow.kinds import (
    BAD_ENDINGS,
    BAD_SHARE,
    KINDS,
    MAX_UNUSUAL,
    MIN_ENDED,
    MIN_HOPS,
    NONE_SHARE,
    NOTICED_MS,
    SLOW_MS,
    SLOWER,
    Code,
)
from signalbox.flow.unusual import MIN_Z, Unusual, unusual
from signalbox.flow.window import UNDECIDED_MS, FlowWindow, Seen

FULL: Final = 100
_SOME: Final = 5
"""Each finding costs this much at least, and rises to its most: something is the matter, or it would be none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is the matter.

    Attributes:
        code: of `KINDS`.
        what: a sentence with the numbers.
        value: the number that is too high, or too low.
        limit: what it may be, or usually is.
        points: what it costs, at most what its kind says.
        remedy: what to do next: commands with their arguments in backticks, or a page of docs.
        example: what the command can be asked about; None where there is none.
    """

    code: Code
    what: str
    value: float
    limit: float
    points: int
    remedy: str
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`score` is 0 to 100; `findings` those that cost most first. `is_idle`: nothing happened in the window."""

    score: int
    findings: tuple[Finding, ...]
    is_idle: bool = False


def told(window: FlowWindow, health: Health) -> dict[str, Any]:
    """Write a window and how healthy it is, for programs."""
    return {
        "begin": rfc3339(from_epoch_ms(window.begin_ms)),
        "end": rfc3339(from_epoch_ms(window.end_ms)),
        "score": health.score,
        "idle": health.is_idle,
        "findings": [asdict(one) for one in health.findings],
        "window": window.as_json(),
    }


def assess(window: FlowWindow) -> Health:
    """Return how healthy a window is."""
    found = [*_open(window), *_dead_letters(window), *_endings(window), *_hops(window)]
    found += _minutes(unusual(window.minutes, window.begin_ms, window.end_ms))
    findings = tuple(sorted(found, key=lambda one: (-one.points, one.code, one.what)))
    score = max(0, FULL - sum(one.points for one in findings))
    return Health(score, findings, window.is_idle)


def _open(window: FlowWindow) -> Iterator[Finding]:
    undecided = window.undecided
    if undecided.number:
        # Of what came in the window nobody decided so much: all of it is the job standing still.
        share = undecided.number / max(window.messages, undecided.number)
        age = (undecided.oldest_ms or UNDECIDED_MS) // 1000
        what = f"{_counted(undecided, 'conversation')} with a message that nobody decided, the oldest for {age} s"
        asked = "`signalbox status` says whether the job runs and keeps up"
        remedy = _then(asked, _trace(undecided.example))
        said = _Told(what, age, UNDECIDED_MS / 1000, remedy, undecided.example)
        yield _finding("undecided", said, share, at_least=10)
    for agent, tasks in window.silent.items():
        what = f"{agent} sends no heartbeat and has {_counted(tasks, 'open task')}"
        remedy = "`signalbox agents list`, then its log; docs/task-life.md says what becomes of its tasks"
        yield _finding("agent-silent", _Told(what, tasks.number, 0, remedy, tasks.example), 1)
    for agent, tasks in window.overdue.items():
        what = f"{_counted(tasks, 'task')} of {agent} past the deadline"
        remedy = _then("`signalbox workflows runs --stuck`", _trace(tasks.example))
        said = _Told(what, tasks.number, 0, remedy, tasks.example)
        yield _finding("tasks-overdue", said, tasks.number / 10)
    late = window.late_questions
    if late.number:
        what = f"{_counted(late, 'question')} to people with more than half of the time gone, {window.questions.number} open in all"
        said = _Told(what, late.number, 0, "`signalbox approvals list`", late.example)
        yield _finding("questions-late", said, late.number / 10)


def _dead_letters(window: FlowWindow) -> Iterator[Finding]:
    for reason, letters in window.dead_letters.items():
        verb = "is" if letters.number == 1 else "are"
        what = f"{_counted(letters, 'dead letter')} of reason {reason} {verb} open"
        remedy = _then(
            f"`signalbox dlq list --reason {reason}`",
            f"`signalbox dlq show {letters.example}`",
            f"mended, `signalbox dlq replay --reason {reason}`",
        )
        said = _Told(what, letters.number, 0, remedy, letters.example)
        yield _finding("dead-letters", said, 5 * letters.number / max(window.messages, 1))


def _endings(window: FlowWindow) -> Iterator[Finding]:
    ended = sum(one.number for one in window.outcomes.values())
    if ended < MIN_ENDED:
        return
    bad = {status: one for status, one in window.outcomes.items() if status in BAD_ENDINGS}
    number = sum(one.number for one in bad.values())
    if number / ended > BAD_SHARE:
        words = ", ".join(f"{one.number} {status}" for status, one in sorted(bad.items()))
        example = max(bad.values(), key=lambda one: (one.number, one.example or "")).example
        what = f"{number} of {ended} conversations ended badly: {words}"
        remedy = _then(_explain(example), _trace(example))
        said = _Told(what, round(number / ended, 4), BAD_SHARE, remedy, example)
        yield _finding("ended-badly", said, 2 * number / ended)
    none = window.outcomes.get("none", Seen())
    if none.number / ended > NONE_SHARE:
        what = f"{none.number} of {ended} conversations ended because no agent fits"
        remedy = f"{_explain(none.example)} says who was nearly chosen; docs/writing-agents.md"
        said = _Told(what, round(none.number / ended, 4), NONE_SHARE, remedy, none.example)
        yield _finding("ended-none", said, none.number / ended)


def _hops(window: FlowWindow) -> Iterator[Finding]:
    now, before = window.hops, window.hops_before
    if now.number < MIN_HOPS:
        return
    is_compared = before.number >= MIN_HOPS
    usual_ms = max(NOTICED_MS, SLOWER * before.p95_ms) if is_compared else SLOW_MS
    limit_ms = min(usual_ms, SLOW_MS)
    if now.p95_ms <= limit_ms:
        return
    was = f", {before.p95_ms} ms in the window before" if is_compared else ""
    what = f"one message in twenty waits {now.p95_ms} ms and longer for its task{was}"
    remedy = (
        "`signalbox trace` of a recent conversation: a long decision is the model (`signalbox doctor`), a long way before it "
        "the lag of the job (`signalbox status`)"
    )
    said = _Told(what, now.p95_ms, limit_ms, remedy, None)
    yield _finding("slow-hops", said, (now.p95_ms / limit_ms - 1) / 4)


def _minutes(found: Iterable[Unusual]) -> Iterator[Finding]:
    newest: dict[str, Unusual] = {}
    for one in found:
        newest.setdefault(one.flow, one)
    # One burst is seen in many flows.
    for one in sorted(newest.values(), key=lambda one: (-abs(one.z), one.flow))[:MAX_UNUSUAL]:
        more = "more" if one.z > 0 else "fewer"
        what = f"{one.minute.number} × {one.flow} in a minute, {one.usual:.1f} are usual ({abs(one.z):.1f} deviations {more})"
        example = one.minute.example
        remedy = _then("`signalbox sql ask unusual_minutes`", _trace(example))
        said = _Told(what, one.minute.number, round(one.usual, 1), remedy, example)
        yield _finding("unusual-minute", said, abs(one.z) / (10 * MIN_Z), at_least=2)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a finding says, without what it costs; as in `Finding`."""

    what: str
    value: float
    limit: float
    remedy: str
    example: str | None


def _finding(code: Code, said: _Told, share: float, *, at_least: int = _SOME) -> Finding:
    """Return a finding that costs from `at_least` to the most of its kind, by how large a share (0 to 1) is concerned."""
    at_most = KINDS[code].at_most
    points = at_least + round((at_most - at_least) * min(1.0, share))
    return Finding(code, said.what, said.value, said.limit, points, said.remedy, said.example)


def _counted(seen: Seen, noun: str) -> str:
    return f"{seen.number} {noun}" if seen.number == 1 else f"{seen.number} {noun}s"


def _trace(example: str | None) -> str:
    # An id comes from outside, and this is to be pasted into a shell.
    return "" if example is None else f"`signalbox trace {quote(example)}`"


def _explain(example: str | None) -> str:
    return "" if example is None else f"`signalbox explain {quote(example)}`"


def _then(*steps: str) -> str:
    """Return a remedy of these steps, those that say nothing left out."""
    return "; ".join(step for step in steps if step)
