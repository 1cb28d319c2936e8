"""`signalbox trace`: the path of one conversation, from the topics."""

from __future__ import annotations

from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import show_lines
from signalbox.cli.trace_view import as_json as trace_json
from signalbox.cli.trace_view import lines_of, trace_of, worth_explaining

app = typer.Typer()


@app.command()
def trace(
    conversation: Annotated[
        str, typer.Argument(help="A conversation id, as `send` and `demo` print it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show the path of one conversation: messages, decisions, tasks, answers, outcome, and the times between.

    Exit code 1 when no topic knows the conversation.
    """
    settings = session.load_settings()
    facts = read_facts(settings, session.open_broker(settings))
    found = trace_of(conversation, facts)
    if found is None:
        session.note(
            f"no record of a conversation {conversation!r}; "
            "ids are printed by `signalbox send`, `signalbox demo` and `signalbox dlq list`"
        )
        raise typer.Exit(1)
    if as_json:
        session.print_json(trace_json(found))
        return
    show_lines(lines_of(found))
    if (asked := worth_explaining(found)) is not None:
        session.note(f"\nwhy a decision fell: signalbox explain {asked}")
