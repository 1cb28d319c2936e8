"""`signalbox agents route`: who would be a candidate for some data and why not; nothing is sent and no model is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError

from signalbox.cli import session
from signalbox.contracts.decision import NONE, Candidate
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import UsageError
from signalbox.routing.preview import Preview, preview
from signalbox.routing.rules import EnginePolicy, Rules
from signalbox.workflows.loading import load_fleet


def route(
    data: Annotated[
        str, typer.Option(help="The message's data: a JSON object, or @FILE that holds one.")
    ],
    kind: Annotated[str, typer.Option("--type", help="The message's type.")] = "dry.run",
    sender: Annotated[
        str | None, typer.Option(help="The agent that answers with it; absent: from outside.")
    ] = None,
    definitions: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Fleets to decide by, instead of the active ones."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show who would be a candidate, and what keeps the others from it. Needs no broker where --definitions is given.

    Exit code 1 where nobody would act.
    """
    settings = session.load_settings()
    active = _loaded(definitions) if definitions else session.read_active(settings)
    rules = Rules.compile(active, EnginePolicy(policy=settings.routing.policy))
    found = preview(_message(data, kind, sender, active), rules)
    if as_json:
        session.print_json(_as_json(found, active))
    else:
        _print(found, kind, rules)
    if found.agent == NONE:
        raise typer.Exit(1)


def _loaded(folders: list[Path]) -> ActiveSet:
    try:
        return ActiveSet.of([load_fleet(folder) for folder in folders])
    except ValueError as error:
        raise UsageError(str(error)) from None


def _message(text: str, kind: str, sender: str | None, active: ActiveSet) -> Envelope:
    if sender is not None and sender not in active.agents:
        msg = f"--sender {sender!r} is no active agent; there are {', '.join(sorted(active.agents)[:20]) or 'none'}"
        raise UsageError(msg)
    try:
        return Envelope(
            id="dry-run",
            source="cli" if sender is None else f"agent/{sender}",
            type=kind,
            time=session.now(),
            subject="dry-run",
            data=_data(text),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"--{'.'.join(map(str, first['loc']))}: got {str(first['input'])[:80]!r}; {first['msg']}"
        raise UsageError(msg) from None


def _data(text: str) -> dict[str, Any]:
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        found = orjson.loads(raw)
    except OSError as error:
        msg = f"--data {text}: {error.strerror}; name a file that can be read"
        raise UsageError(msg) from None
    except orjson.JSONDecodeError as error:
        msg = f"--data is not JSON: {error}; write an object, like '{{\"lead\": {{}}}}'"
        raise UsageError(msg) from None
    if not isinstance(found, dict):
        msg = f"--data is a JSON {type(found).__name__}; a message's data is an object"
        raise UsageError(msg)
    return found


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
        "definitions": active.digest,
    }
