"""A workflow's run, drawn for a person: its steps as a tree with times, what was undone, and, where there is room, bars. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from signalbox.cli.moments import duration
from signalbox.cli.run_bar import bar, legend
from signalbox.cli.run_rows import Row, step_rows, undoing_rows
from signalbox.cli.run_seen import RunSeen
from signalbox.cli.run_shape import Shape
from signalbox.cli.run_usual import Usual
from signalbox.cli.screen import Line

_MIN_BAR, _MAX_BAR = 20, 60
_MIN_TREE: Final = 12
_GAP: Final = "  "
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    is_right: bool
    text: Callable[[Row], str]


def run_lines(
    run: RunSeen,
    shape: Shape,
    *,
    start_ms: int,
    now_ms: int,
    width: int,
    usual: Usual | None = None,
) -> Iterator[Line]:
    """Draw a run.

    Args:
        run: what its records tell.
        shape: the order of its steps.
        start_ms: what times are counted from: the conversation's first record.
        now_ms: what is open has lasted until now, and what is due is due from now on.
        width: of the terminal, in characters.
        usual: how long runs of its workflow take, where that is known; told while it runs.
    """
    yield Line(_headline(run, now_ms), "bold")
    if usual is not None and run.status == "running":
        yield Line(f"{_INDENT}{usual.words(run.began_ms, now_ms)}", "dim")
    if run.cancelled is not None:
        after = duration(max(0, (run.cancelled_ms or run.began_ms) - run.began_ms))
        yield Line(f"{_INDENT}after {after} {run.cancelled}", "yellow")
    if not shape.is_known:
        yield Line(
            f"{_INDENT}its definition is not known any more: steps in the order in which they began",
            "dim",
        )
    steps, undone = tuple(step_rows(run, shape, now_ms)), tuple(undoing_rows(run, now_ms))
    rows = (*steps, *undone)
    end_ms = now_ms if run.ended_ms is None else run.ended_ms
    layout = _Layout.of(rows, start_ms=start_ms, width=width, from_ms=run.began_ms, to_ms=end_ms)
    yield Line(layout.head(rows), "dim")
    for row in steps:
        yield from layout.lines(row)
    if undone:
        yield Line(f"{_INDENT}undone, one after the other", "dim")
        for row in undone:
            yield from layout.lines(row)


def _headline(run: RunSeen, now_ms: int) -> str:
    name = f"workflow {run.name}" if run.name else "a workflow"
    if run.ended_ms is not None:
        what = f"{run.status} after {duration(max(0, run.ended_ms - run.began_ms))}"
    else:
        words = {"stopping": "coming to rest", "compensating": "being undone"}
        what = (
            f"{words.get(run.status, run.status)} since {duration(max(0, now_ms - run.began_ms))}"
        )
    stuck = run.stuck(now_ms)
    late = f", stuck at {', '.join(stuck)}" if stuck else ""
    return f"{name}: {what}{late}, started by {run.start_id}"


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[_Column, ...]
    widths: tuple[int, ...]
    bar_width: int
    from_ms: int
    to_ms: int
    width: int

    @classmethod
    def of(
        cls, rows: Sequence[Row], *, start_ms: int, width: int, from_ms: int, to_ms: int
    ) -> _Layout:
        """Choose the columns that there is room for; the tree is cut last."""
        columns = [
            _Column("step", False, lambda row: f"{row.mark} {row.tree}"),
            _Column("agent", False, lambda row: row.agent),
            _Column("start", True, lambda row: _since(row.began_ms, start_ms)),
            _Column("took", True, lambda row: _length(row.took_ms)),
            _Column("at work", True, lambda row: _length(row.worked_ms)),
            _Column("", False, lambda row: row.words),
        ]
        widths = [max(len(c.title), *(len(c.text(row)) for row in rows)) for c in columns]
        if all(row.worked_ms is None for row in rows) or _room(widths, width) < 0:
            del columns[4], widths[4]
        for dispensable in (2, 1, 1):  # start, agent, took
            if _room(widths, width) + max(0, widths[0] - _MIN_TREE) < 0:
                del columns[dispensable], widths[dispensable]
        widths[0] = max(_MIN_TREE, widths[0] + min(0, _room(widths, width)))
        room = _room(widths, width) - len(_GAP)
        bar_width = min(_MAX_BAR, room) if room >= _MIN_BAR else 0
        return cls(tuple(columns), tuple(widths), bar_width, from_ms, to_ms, width)

    def head(self, rows: Sequence[Row]) -> str:
        """The line above the columns."""
        titles = self._joined([column.title for column in self.columns])
        if not self.bar_width:
            return titles.rstrip()
        used = legend((span for row in rows for span in row.spans), self.bar_width)
        return f"{titles}{_GAP}{used}".rstrip()

    def lines(self, row: Row) -> Iterator[Line]:
        """A row, and its notes below."""
        text = self._joined([column.text(row) for column in self.columns])
        if self.bar_width:
            drawn = bar(row.spans, from_ms=self.from_ms, to_ms=self.to_ms, width=self.bar_width)
            text = f"{text}{_GAP}{drawn}"
        yield Line(text.rstrip(), row.style)
        for note in row.notes:
            yield from self._note(note, row.rail)

    def _joined(self, texts: Sequence[str]) -> str:
        cells = [
            _fitted(text, width).rjust(width)
            if column.is_right
            else _fitted(text, width).ljust(width)
            for column, text, width in zip(self.columns, texts, self.widths, strict=True)
        ]
        return _INDENT + _GAP.join(cells)

    def _note(self, note: str, rail: str) -> Iterator[Line]:
        """Below the agent's column where that leaves half the width, else near the margin; whole words, indented alike."""
        indent = len(_INDENT) + self.widths[0] + len(_GAP)
        begin = f"{_INDENT}{_GAP}{rail}".ljust(indent)
        if indent > self.width // 2:
            begin = " " * (len(_INDENT) + 4)
        for line in _wrapped(note, max(20, self.width - len(begin))):
            yield Line(begin + line, "dim")


def _room(widths: Sequence[int], width: int) -> int:
    return width - len(_INDENT) - sum(widths) - len(_GAP) * (len(widths) - 1)


def _since(at_ms: int | None, start_ms: int) -> str:
    return "" if at_ms is None else duration(max(0, at_ms - start_ms), sign=True)


def _length(milliseconds: int | None) -> str:
    return "" if milliseconds is None else duration(milliseconds)


def _fitted(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line
