"""`signalbox up`, `down`, `status`, `doctor`: the stack from a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.session import load_settings, note, print_json
from signalbox.errors import UsageError
from signalbox.local_stack import api
from signalbox.local_stack.gateway import pages_url

app = typer.Typer(help="The local stack.")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once messages can flow.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start empty: forget topics, state and outboxes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Start Kafka, Flink, the jobs and the agents; without --detach, until Ctrl-C.

    Jobs go on from the savepoint that `down` left, else from their newest checkpoint.
    """
    settings = load_settings()
    if fresh and not yes and (kept := api.kept_state(settings)):
        _confirm_loss(settings.home.absolute(), kept)
    if fresh and settings.kafka.bootstrap_servers is not None:
        note(
            f"{settings.kafka.servers} keeps its topics and what was read of them: --fresh empties this machine only"
        )
    started = api.up(settings, detach=detach, fresh=fresh, report=note)
    if detach and started:
        pages = pages_url(settings)
        found = [f"pages: {pages}"] if pages is not None else []
        found.append(f"Flink's: http://127.0.0.1:{settings.flink.rest_port}")
        note(" · ".join([*found, "`signalbox down` stops it all"]))


def _confirm_loss(home: Path, kept: tuple[str, ...]) -> None:
    what = f"{', '.join(kept)} in {home}"
    if not sys.stdin.isatty():
        msg = f"up --fresh would remove {what}, and nobody can be asked; say so with --yes, or leave --fresh out"
        raise UsageError(msg)
    typer.confirm(f"Remove {what}?", abort=True, err=True)


@app.command()
def down() -> None:
    """Stop exactly what `up` started: jobs with a savepoint, agents drained."""
    if not api.down(load_settings(), report=note):
        note("nothing runs")


@app.command()
def status(json: _Json = False) -> None:
    """List processes, jobs, agents, topics and lag; exit code 1 unless all of it runs."""
    found = api.status(load_settings())
    if json:
        print_json(found.as_json())
    else:
        from signalbox.cli.stack_tables import print_status  # noqa: PLC0415 (rich is slow to import)

        print_status(found)
    raise typer.Exit(0 if found.is_healthy else 1)


@app.command()
def doctor(json: _Json = False) -> None:
    """Check this machine and say how to fix what is wrong; exit code 1 if anything is."""
    checks = api.doctor(load_settings())
    ok = all(check.ok for check in checks)
    if json:
        print_json({"ok": ok, "checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            typer.echo(f"{'✓' if check.ok else '✗'} {check.name:<12} {check.found}")
            if check.fix:
                typer.echo(f"  {'':<12} → {check.fix}")
    raise typer.Exit(0 if ok else 1)
