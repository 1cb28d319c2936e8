"""`signalbox agents`: which agents are active, and whether a folder's definitions are right. Changes: `agents_change`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signalbox.cli import agents_change, session
from signalbox.cli.lint import lint_agents
from signalbox.cli.route import route
from signalbox.cli.screen import counted
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import FLEET_FILE
from signalbox.errors import DefinitionError
from signalbox.workflows.loading import load_fleet, problems_in

if TYPE_CHECKING:
    from signalbox.local_stack.agent_status import AgentStatus

app = typer.Typer(no_args_is_help=True, help="List, validate, lint, route, apply, remove agents.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help=f"A folder with a {FLEET_FILE}.")]


@app.command("list")
def list_agents(as_json: AsJson = False) -> None:
    """List the active agents, as the registry has them, and those that were removed and still work off tasks."""
    settings = session.load_settings()
    session.require_broker(settings)
    state, statuses = session.read_agents(settings)
    if as_json:
        session.print_json(_set_json(state.active, statuses))
        return
    if not statuses:
        session.note("no agent is active; next: signalbox agents apply agent_definitions/sdr")
        return
    width = max(len(one.name) for one in statuses)
    for one in statuses:
        typer.echo(f"{one.name:<{width}}  {one.fleet:<8}  {one.digest}  {_told(one, state.active)}")


@app.command()
def validate(folder: Folder, as_json: AsJson = False) -> None:
    """Check a fleet's files without a broker. Every problem is `path:line:column: what`; exit code 1 if there is one."""
    problems = problems_in(folder)
    warnings = () if problems else _warnings(load_fleet(folder))
    if as_json:
        session.print_json(
            {"problems": [_problem_json(one) for one in problems], "warnings": list(warnings)}
        )
    else:
        for problem in problems:
            typer.echo(str(problem))
        for warning in warnings:
            session.note(f"warning: {warning}")
    if problems:
        raise typer.Exit(1)
    if not as_json:
        fleet = load_fleet(folder)
        found = counted(len(fleet.agents), "agent")
        if fleet.workflows:
            found += f", {counted(len(fleet.workflows), 'workflow')}"
        typer.echo(f"{folder}: fleet {fleet.name}, {found}, no problems")


app.command("lint")(lint_agents)
app.command("route")(route)
app.command("apply")(agents_change.apply)
app.command("remove")(agents_change.remove)


def _warnings(fleet: Fleet) -> tuple[str, ...]:
    # Both may be right where another fleet is active too, so neither is a problem.
    found = [
        f"{name} hands off to {other!r}, which is not in this fleet"
        for name, definition in fleet.agents.items()
        for other in definition.handoffs or ()
        if other not in fleet.agents
    ]
    answers = {definition.output.type for definition in fleet.agents.values()}
    subscribed = [one.subscribe for one in fleet.agents.values() if one.subscribe is not None]
    heard = [pattern for one in subscribed for pattern in one.types or ()]
    found += [
        f"{FLEET_FILE}: completes_on {kind!r}, but no agent of this fleet answers with it"
        for kind in fleet.policy.completes_on
        if kind not in answers and not any(pattern.accepts(kind) for pattern in heard)
    ]
    return tuple(found)


def _told(status: AgentStatus, active: ActiveSet) -> str:
    if not status.is_active:
        return f"(removed, {status.backlog}) is working off its tasks"
    summary = active.agents[status.name].description.splitlines()[0].partition(". ")[0]
    if status.is_current:
        return summary
    return f"(running {', '.join(status.running)}) {summary}"


def _set_json(active: ActiveSet, statuses: Sequence[AgentStatus]) -> dict[str, Any]:
    by_name = {status.name: status for status in statuses}
    return {
        "definitions": active.digest,
        "agents": [
            {
                "name": name,
                "fleet": active.fleet_of[name],
                "digest": definition.digest,
                "running": list(by_name[name].running),
                "description": definition.description,
                "answers_with": definition.output.type,
            }
            for name, definition in active.agents.items()
        ],
        "draining": [
            {"name": one.name, "fleet": one.fleet, "digest": one.digest, "backlog": one.backlog}
            for one in statuses
            if not one.is_active
        ],
    }


def _problem_json(error: DefinitionError) -> dict[str, Any]:
    return {
        "path": str(error.path),
        "line": error.line,
        "column": error.column,
        "problem": error.problem,
        "hint": error.hint,
    }
