"""`signalbox agents route`: who would be a candidate for some data and why not; nothing is sent and no model is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from signalbox.cli import session
from signalbox.cli.json_data import read_object
from signalbox.contracts.decision import NONE, Candidate
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import UsageError
from signalbox.routing.preview import Preview, preview
from signalbox.routing.rules import EnginePolicy, Rules
from signalbox.workflows.loading import load_fleet


def route(  # noqa: PLR0917 (typer reads options from the signature)
    data: Annotated[
        str, typer.Option(help="The message's data: a JSON object, or @FILE that holds one.")
    ],
    kind: Annotated[str, typer.Option("--type", help="The message's type.")] = "dry.run",
    sender: Annotated[
        str | None, typer.Option(help="The agent that answers with it; absent: from outside.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="Where it comes from, if from outside: filters may ask for it.")
    ] = "cli",
    priority: Annotated[int, typer.Option(min=1, max=10, help="Its priority, 1 is first.")] = 5,
    definitions: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Fleets to decide by, instead of the active ones."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show who would be a candidate, what keeps the others from it, and who hears it by subscription.

    Needs no broker where --definitions is given. Exit code 1 where nobody would act.
    """
    settings = session.load_settings()
    active = _loaded(definitions) if definitions else session.read_active(settings)
    rules = Rules.compile(active, EnginePolicy(policy=settings.routing.policy))
    given = {"data": read_object(data, "--data"), "type": kind, "priority": priority}
    found = preview(_message(given, source, sender, active), rules)
    if as_json:
        session.print_json(_as_json(found, active))
    else:
        _print(found, kind, rules)
    if found.agent == NONE and not found.subscribers:
        raise typer.Exit(1)


def _loaded(folders: list[Path]) -> ActiveSet:
    try:
        return ActiveSet.of([load_fleet(folder) for folder in folders])
    except ValueError as error:
        raise UsageError(str(error)) from None


def _message(given: dict[str, Any], source: str, sender: str | None, active: ActiveSet) -> Envelope:
    if sender is not None and sender not in active.agents:
        msg = f"--sender {sender!r} is no active agent; there are {', '.join(sorted(active.agents)[:20]) or 'none'}"
        raise UsageError(msg)
    try:
        return Envelope(
            id="dry-run",
            source=source if sender is None else f"agent/{sender}",
            time=session.now(),
            subject="dry-run",
            **given,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"--{'.'.join(map(str, first['loc']))}: got {str(first['input'])[:80]!r}; {first['msg']}"
        raise UsageError(msg) from None


def _print(found: Preview, kind: str, rules: Rules) -> None:
    typer.echo(f"→ {found.agent or 'a model would choose'}   {found.path}: {found.reason}")
    if found.agent == NONE and kind in rules.completes_on:
        typer.echo(f"  {kind} completes the conversation")
    listed = found.candidates
    width = max((len(one.agent) for one in listed), default=0)
    for one in listed:
        typer.echo(f"  {_mark(one)} {one.agent:<{width}}  {'; '.join(one.violations)}".rstrip())
    accepted, rejected = _totals(found)
    more = accepted - sum(one.accepted for one in listed)
    if more:
        typer.echo(f"  … and {more} more that accept")
    more = rejected - sum(not one.accepted for one in listed)
    if more:
        typer.echo(f"  … and {more} more that do not")
    _print_heard(found)


def _print_heard(found: Preview) -> None:
    for word, names in (
        ("heard by", found.subscribers),
        ("pauses", found.heard.pauses),
        ("resumes", found.heard.resumes),
    ):
        if names:
            typer.echo(f"{word} {', '.join(names)}")
    for one in found.refusals:
        typer.echo(f"not heard by {one.agent}: {'; '.join(one.violations)}")


def _mark(candidate: Candidate) -> str:
    return "✓" if candidate.accepted else "✗"


def _totals(found: Preview) -> tuple[int, int]:
    weighed = found.weighed
    return (0, 0) if weighed is None else (len(weighed.accepted), weighed.rejected_total)


def _as_json(found: Preview, active: ActiveSet) -> dict[str, Any]:
    accepted, rejected = _totals(found)
    return {
        "agent": found.agent,
        "path": found.path,
        "reason": found.reason,
        "candidates": [one.model_dump(mode="json", exclude_none=True) for one in found.candidates],
        "accepted_total": accepted,
        "rejected_total": rejected,
        "subscribers": list(found.subscribers),
        "not_heard_by": [one.model_dump(mode="json", exclude_none=True) for one in found.refusals],
        "pauses": list(found.heard.pauses),
        "resumes": list(found.heard.resumes),
        "definitions": active.digest,
    }
