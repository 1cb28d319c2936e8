"""`signalbox workflows`: which workflows there are, how each goes, and which runs; `run` and `cancel` are in `workflows_run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.cli.reading import read_facts
from signalbox.cli.runs_list import all_runs
from signalbox.cli.runs_list import lines_of as run_list_lines
from signalbox.cli.screen import show_lines
from signalbox.cli.workflow_start import unknown_workflow
from signalbox.cli.workflow_view import as_json, lines_of, summary_json
from signalbox.cli.workflows_run import cancel, run
from signalbox.contracts.record import to_epoch_ms
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import UsageError
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.loading import load_fleet

app = typer.Typer(
    no_args_is_help=True, help="List, show, run and cancel workflows, and see which runs are open."
)
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


@app.command()
def runs(
    name: Annotated[str | None, typer.Argument(help="Only runs of this workflow.")] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only those with a step past its deadline.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are over, as far as topics keep them.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the runs that are open, the oldest first, with whom each waits for; `!` is past its deadline."""
    settings = session.load_settings()
    session.require_broker(settings)
    now_ms = to_epoch_ms(session.now())
    found = [
        one
        for one in all_runs(read_facts(settings, session.reach_broker(settings)))
        if (everything or one.run.outcome is None)
        and (name is None or one.run.name == name)
        and (not stuck or one.run.stuck(now_ms))
    ]
    shown = found[:limit]
    if as_json:
        listed = [one.as_json(now_ms) for one in shown]
        session.print_json({"runs": listed, "total": len(found)})
        return
    if not found:
        session.note("no run is stuck" if stuck else "there are no such runs")
        return
    show_lines(run_list_lines(shown, now_ms))
    if len(found) > len(shown):
        session.note(f"{len(found) - len(shown)} more; --limit shows them")
    session.note("\none of them: signalbox trace CONVERSATION")


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
