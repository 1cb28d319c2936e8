"""`signalbox trace`: the path of one conversation, from the topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from signalbox.cli import session
from signalbox.cli.reading import read_facts, read_shapes
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_json import run_json
from signalbox.cli.run_seen import RunSeen
from signalbox.cli.run_shape import Shape
from signalbox.cli.run_usual import Usual, usual
from signalbox.cli.run_view import run_lines
from signalbox.cli.screen import Line, show_lines, terminal_width
from signalbox.cli.trace_view import Trace, headline, timeline, trace_of, worth_explaining
from signalbox.cli.trace_view import as_json as trace_json
from signalbox.contracts.record import to_epoch_ms

app = typer.Typer()

Runs = Sequence[tuple[RunSeen, Shape]]


@app.command()
def trace(
    conversation: Annotated[
        str, typer.Argument(help="A conversation id, as `send` and `demo` print it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show the path of one conversation: messages, decisions, tasks, answers, outcome, and the times between.

    A workflow's run is drawn above: its steps with times, what waits and until when, what was undone. Exit code 1 when no
    topic knows the conversation.
    """
    settings = session.load_settings()
    broker = session.reach_broker(settings)
    facts = read_facts(settings, broker)
    found = trace_of(conversation, facts)
    if found is None:
        session.note(
            f"no record of a conversation {conversation!r}; "
            "ids are printed by `signalbox send`, `signalbox demo` and `signalbox dlq list`"
        )
        raise typer.Exit(1)
    seen = runs_of(conversation, facts)
    runs = tuple(zip(seen, read_shapes(settings, broker, seen), strict=True))
    now_ms = to_epoch_ms(session.now())
    name = seen[-1].name if seen and seen[-1].outcome is None else None
    known = None if name is None else usual(name, facts)
    if as_json:
        session.print_json({**trace_json(found), **runs_json(runs, now_ms=now_ms, known=known)})
        return
    show_lines(lines_of(found, runs, now_ms=now_ms, width=terminal_width(), known=known))
    if (asked := worth_explaining(found)) is not None:
        session.note(f"\nwhy a decision fell: signalbox explain {asked}")


def lines_of(
    found: Trace, runs: Runs, *, now_ms: int, width: int, known: Usual | None = None
) -> Iterator[Line]:
    """Write a trace with its workflow's runs: how it ended, each run, and the timeline of what is not in their drawings.

    `known`: how long runs of the newest one's workflow usually take.
    """
    yield headline(found)
    yield Line("")
    for run, shape in runs:
        of_run = known if run is runs[-1][0] else None
        yield from run_lines(
            run, shape, start_ms=found.started_ms, now_ms=now_ms, width=width, usual=of_run
        )
        yield Line("")
    yield from timeline(without_drawn(found, runs))


def without_drawn(found: Trace, runs: Runs) -> Trace:
    """Return the trace without the decisions and reviews that the drawings of `runs` show."""
    drawn = frozenset().union(*(run.drawn for run, _ in runs))
    tokens = {asked.token for run, _ in runs for step in run.steps.values() for asked in step.asked}
    steps = tuple(
        replace(
            step,
            decisions=[d for d in step.decisions if (d.message_id, d.slot) not in drawn],
            reviews=[review for review in step.reviews if review.token not in tokens],
        )
        for step in found.steps
    )
    return replace(found, steps=steps)


def runs_json(runs: Runs, *, now_ms: int, known: Usual | None = None) -> dict[str, Any]:
    """Write the newest run as `workflow`, null where there is none; those before it as `earlier_workflows`, the oldest first.

    `usual` of an open one: of how many completed runs of its workflow half and nine of ten took how long; null where too few did.
    """
    written = [run_json(run, shape, now_ms=now_ms) for run, shape in runs]
    if runs and runs[-1][0].outcome is None:
        written[-1]["usual"] = None if known is None else known.as_json()
    earlier = {"earlier_workflows": written[:-1]} if written[1:] else {}
    return {"workflow": written[-1] if written else None, **earlier}
