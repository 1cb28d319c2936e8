"""What a person sees of the demo: a live table on a terminal, lines elsewhere, and the summary. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from signalbox.cli.demo_progress import DECIDING, NOT_SEEN, Progress, Row, percentile
from signalbox.cli.facts import Fact
from signalbox.cli.moments import duration
from signalbox.cli.screen import Line, printable
from signalbox.cli.trace_view import how
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.outcome import Outcome

# Four agents of the sdr fleet's longest path stand side by side in 62 columns; the narrow form needs 27.
_WIDE: Final = 108
_PATH_COLUMNS: Final = {True: 62, False: 27}
_NOW_COLUMNS: Final = 18
_STATUS_STYLES: Final = {"completed": "green", "none": "yellow"}


def table(progress: Progress, *, seconds: float, width: int) -> RenderableType:
    """Return the live table: each lead, the agents it passed, where it is, how it ended; below, the totals."""
    grid = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    is_wide = width >= _WIDE
    grid.add_column("lead", ratio=1, no_wrap=True, overflow="ellipsis")
    path_columns = _PATH_COLUMNS[is_wide]
    grid.add_column("path", width=path_columns, no_wrap=True, overflow="ellipsis")
    grid.add_column("now", width=_NOW_COLUMNS, no_wrap=True)
    for row in progress.rows.values():
        path = trail(row, is_wide=is_wide)
        grid.add_row(Text(printable(row.label)), Text(path, style="cyan"), _now(row))
    # A bar ends no line by itself; in a grid it has a row of its own.
    foot = Table.grid(expand=True)
    foot.add_row(_bar(progress))
    foot.add_row(Text(totals(progress, seconds=seconds), style="bold"))
    return Group(grid, Text(), foot)


def trail(row: Row, *, is_wide: bool) -> str:
    """Return the agents a lead passed, all of them where there is room, else their number and the last."""
    if is_wide or len(row.agents) < 2:
        return " › ".join(row.agents)
    return f"{len(row.agents)} hops › {row.agents[-1]}"


def totals(progress: Progress, *, seconds: float) -> str:
    """Return one line: ended, decisions by path, hop latency, time."""
    paths = ", ".join(f"{number} {path}" for path, number in sorted(progress.decisions.items()))
    hops = progress.hops_ms
    latency = (
        f"hop p50 {percentile(hops, 50)} ms, p99 {percentile(hops, 99)} ms" if hops else "hop –"
    )
    return f"{progress.ended} of {len(progress.rows)} ended · decisions: {paths or '–'} · {latency} · {seconds:.1f} s"


def _bar(progress: Progress) -> ProgressBar:
    return ProgressBar(total=max(1, len(progress.rows)), completed=progress.ended)


def _now(row: Row) -> Text:
    if row.status is not None:
        return Text(row.status, style=f"bold {_STATUS_STYLES.get(row.status, 'red')}")
    if row.where == NOT_SEEN:
        return Text(row.where, style="dim")
    return Text(row.where, style="magenta" if row.where == DECIDING else "blue")


def event_line(fact: Fact, name: str, since_start_ms: int) -> str | None:
    """Return the line a demo without a terminal prints for a fact; None for those that tell nothing new."""
    name = printable(name)
    elapsed = f"{duration(max(0, since_start_ms), sign=True):>9}"
    match fact.body:
        case Decision(agent="NONE", path="contract"):
            # The outcome that follows says it in fewer words.
            return None
        case Decision() as decision:
            to = "nobody" if decision.agent == NONE else decision.agent
            return f"{elapsed}  {name} → {to} by {how(decision)}: {printable(decision.reason)}"
        case Outcome() as outcome:
            why = "" if outcome.status == "completed" else f": {printable(outcome.detail)}"
            return f"{elapsed}  {name} ■ {outcome.status} after {outcome.hops} hops{why}"
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the summary tells of besides the outcomes. `what` is what was sent: `leads`, or `conversations` of another fleet."""

    what: str
    model: str
    is_embedded: bool
    ollama_models: tuple[str, ...]
    mails: int
    outbox: str
    pages_url: str | None
    flink_url: str
    is_other_model: bool
    """Whether the stack was running already, with another model than the settings name."""


def summary(progress: Progress, around: Surroundings, *, seconds: float) -> Iterator[Line]:
    """Write the demo's end for a person."""
    hops = progress.hops_ms
    statuses = ", ".join(f"{number} {status}" for status, number in progress.outcomes.most_common())
    still = len(progress.rows) - progress.ended
    yield Line(
        f"{progress.ended} of {len(progress.rows)} {around.what} ended in {seconds:.1f} s: {statuses}",
        "bold",
    )
    if progress.reviews:
        yield Line(f"{progress.reviews} wait for a person: signalbox approvals list", "yellow")
    elif still:
        yield Line(
            f"{still} did not end; look at: signalbox status, signalbox trace CONVERSATION", "red"
        )
    yield from _decision_lines(progress)
    if hops:
        yield Line(
            f"hop latency   p50 {percentile(hops, 50)} ms, p99 {percentile(hops, 99)} ms, from a message to its task"
        )
    dead = sum(row.dead_letters for row in progress.rows.values())
    if dead:
        yield Line(f"dead letters  {dead}: signalbox dlq list", "red")
    if around.mails:
        yield Line(f"mails         {around.mails} .eml files in {around.outbox}")
    yield Line("")
    yield from _next_lines(progress, around)


def _decision_lines(progress: Progress) -> Iterator[Line]:
    parts = [
        f"{progress.deciders['contract']} by contract",
        f"{progress.deciders['the embedded scorer']} by the embedded scorer",
        f"{progress.deciders['an LLM']} by an LLM",
    ]
    named = {"contract", "the embedded scorer", "an LLM"}
    parts += [f"{n} by {who}" for who, n in progress.deciders.items() if who not in named]
    nobody = f"; {progress.placed_nowhere} of them said that nobody should act"
    yield Line(f"decisions     {', '.join(parts)}{nobody if progress.placed_nowhere else ''}")


def _next_lines(progress: Progress, around: Surroundings) -> Iterator[Line]:
    one = next((key for key, row in progress.rows.items() if row.agents), None)
    if one is not None:
        yield Line(f"one path      signalbox trace {one}")
    if around.pages_url is not None:
        yield Line(f"pages         {around.pages_url}  live, every conversation, inbox")
    yield Line(f"Flink         {around.flink_url}")
    yield Line("questions     make sql")
    if around.is_embedded:
        yield from _model_lines(around.ollama_models)
    else:
        yield Line(f"model         {around.model}")
        if around.is_other_model:
            text = "the stack was running already and keeps its model; make down, then try again"
            yield Line(f"              {text}", "yellow")
    yield Line("stop          make down", "bold")


def _model_lines(models: tuple[str, ...]) -> Iterator[Line]:
    if models:
        yield Line(
            f"An Ollama answers here with {', '.join(models[:5])}. Use it: make demo MODEL={models[0]}"
        )
    else:
        yield Line(
            "model         embedded: contracts and a local scorer decide, texts come from templates"
        )
        yield Line("              use an LLM: start Ollama, then make demo MODEL=llama3.2")
