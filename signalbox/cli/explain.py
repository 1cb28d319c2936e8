"""`signalbox explain`: why a message went where it went."""

from __future__ import annotations

from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.cli.explain_view import as_json as explanation_json
from signalbox.cli.explain_view import explanation_of, lines_of
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import show_lines

app = typer.Typer()


@app.command()
def explain(
    message: Annotated[
        str, typer.Argument(help="A message id (or a task id), as `trace` prints it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show why a decision fell: the candidates and what their contracts said, path, model, answer, versions.

    Exit code 1 when no topic knows the message.
    """
    settings = session.load_settings()
    found = explanation_of(message, read_facts(settings, session.open_broker(settings)))
    if found is None:
        session.note(
            f"no record of a message {message!r}; `signalbox trace CONVERSATION` prints the ids"
        )
        raise typer.Exit(1)
    if as_json:
        session.print_json(explanation_json(found))
        return
    show_lines(lines_of(found))
