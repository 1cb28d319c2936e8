"""`signalbox workflows`: which workflows there are, and how each goes; `run` and `cancel` are in `workflows_run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.cli.workflow_start import unknown_workflow
from signalbox.cli.workflow_view import as_json, lines_of, summary_json
from signalbox.cli.workflows_run import cancel, run
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import UsageError
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.loading import load_fleet

app = typer.Typer(no_args_is_help=True, help="List, show, run and cancel workflows.")
app.command()(run)
app.command()(cancel)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Definitions = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Fleets to read, instead of the active definitions."),
]


@app.command("list")
def list_workflows(definitions: Definitions = None, as_json: AsJson = False) -> None:
    """List the active workflows, as the registry has them. Needs no broker where --definitions is given."""
    found = _workflows(definitions)
    if as_json:
        session.print_json({"workflows": [summary_json(one) for one in found.values()]})
        return
    if not found:
        session.note("there are no workflows; a fleet's are in its folder `workflows/`")
        return
    width = max(map(len, found))
    for name, one in found.items():
        starts = ", ".join(one.definition.starts_on)
        typer.echo(
            f"{name:<{width}}  {one.fleet:<8}  {one.digest}  {len(one.order)} steps, on {starts}"
        )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The workflow.")],
    definitions: Definitions = None,
    as_json_: AsJson = False,
) -> None:
    """Show a workflow: what starts it, its steps as a tree, what becomes of failures. Exit code 1 where there is none."""
    found = _workflows(definitions)
    if name not in found:
        session.note(unknown_workflow(name, found))
        raise typer.Exit(1)
    if as_json_:
        session.print_json(as_json(found[name]))
        return
    for line in lines_of(found[name]):
        typer.echo(line)


def _workflows(definitions: list[Path] | None) -> dict[str, CompiledWorkflow]:
    active = _loaded(definitions) if definitions else _active()
    return {
        name: CompiledWorkflow.compile(definition, active.workflow_fleet_of[name])
        for name, definition in active.workflows.items()
    }


def _active() -> ActiveSet:
    settings = session.load_settings()
    session.require_broker(settings)
    return session.read_active(settings)


def _loaded(folders: list[Path]) -> ActiveSet:
    try:
        return ActiveSet.of([load_fleet(folder) for folder in folders])
    except ValueError as error:
        raise UsageError(str(error)) from None
