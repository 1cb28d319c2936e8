"""`signalbox explain`: why a message went where it went."""

from __future__ import annotations

from typing import Annotated

import typer

from connectors.registry_history import read_history
from signalbox.cli import session
from signalbox.cli.explain_details import details_of
from signalbox.cli.explain_lines import detail_lines
from signalbox.cli.explain_view import as_json as explanation_json
from signalbox.cli.explain_view import explanation_of, lines_of
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import show_lines
from signalbox.engine import engine_policy

app = typer.Typer()


@app.command()
def explain(
    message: Annotated[
        str, typer.Argument(help="A message id (or a task id), as `trace` prints it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show why a decision fell: the candidates with scores and violations, path, prompt and answer, versions.

    Beside it: what was left to spend, and what another agent lacked to win.

    Exit code 1 when no topic knows the message.
    """
    settings = session.load_settings()
    broker = session.reach_broker(settings)
    facts = read_facts(settings, broker)
    found = explanation_of(message, facts)
    if found is None:
        session.note(
            f"no record of a message {message!r}; `signalbox trace CONVERSATION` prints the ids"
        )
        raise typer.Exit(1)
    versions = read_history(
        broker, topic_prefix=settings.kafka.topic_prefix, engine=engine_policy(settings)
    )
    details = details_of(found, facts, versions)
    if as_json:
        more = {"details": [one.as_json() for one in details]}
        session.print_json({**explanation_json(found), **more})
        return
    show_lines(lines_of(found, [tuple(detail_lines(one)) for one in details]))
