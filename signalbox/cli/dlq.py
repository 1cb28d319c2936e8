"""`signalbox dlq`: what could not go on, and trying it again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, get_args

import typer

from signalbox.cli import session
from signalbox.cli.dead_letters import Entry, Plan, entries_of, find, plan_of, raw_value
from signalbox.cli.facts import Fact
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import Line, printable, show_lines
from signalbox.cli.send import deliver
from signalbox.cli.send_lines import Line as SendLine
from signalbox.contracts.dead_letter import DeadLetterReason
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import rfc3339
from signalbox.errors import UsageError
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES

app = typer.Typer(no_args_is_help=True, help="List, show and replay dead letters.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Reason = Annotated[str | None, typer.Option(help="Only dead letters of this reason.")]


@app.command("list")
def list_dead_letters(
    reason: Reason = None,
    conversation: Annotated[str | None, typer.Option(help="Only of this conversation.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first: place, reason, topic, message, what was wrong."""
    entries = _of_reason(entries_of(_facts(session.load_settings())), reason)
    if conversation is not None:
        entries = [one for one in entries if one.letter.conversation_id == conversation]
    shown = entries[-limit:]
    if as_json:
        session.print_json([_summary(entry) for entry in shown])
        return
    for entry in shown:
        letter = entry.letter
        what = letter.message_id or "(no id)"
        text = (
            f"{entry.place:<7} {rfc3339(letter.failed_at)}  {letter.reason}  {letter.topic}  {what}"
        )
        show_lines([Line(text), Line(f"        {letter.detail}", "dim")])
    counts = Counter(entry.letter.reason for entry in entries)
    total = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    session.note(f"{len(entries)} dead letters{': ' + total if total else ''}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PLACE|MESSAGE", help="As `dlq list` prints it.")],
    raw: Annotated[
        bool, typer.Option(help="Print the original value only, byte for byte.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its original value."""
    found = find(entries_of(_facts(session.load_settings())), {name})
    if not found:
        session.note(f"no dead letter {name!r}; `signalbox dlq list` prints places and message ids")
        raise typer.Exit(1)
    entry = found[-1]
    if raw:
        sys.stdout.buffer.write(raw_value(entry.letter))
        return
    if as_json:
        session.print_json({"place": entry.place, **_record(entry)})
        return
    for field, value in _record(entry).items():
        if field not in {"value", "value_base64"}:
            typer.echo(printable(f"{field:<16} {value}"))
    text = raw_value(entry.letter).decode("utf-8", "replace")
    typer.echo(
        f"\n{printable(text[:4000])}{' … (cut; --raw prints all)' if len(text) > 4000 else ''}"
    )


@app.command()
def replay(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PLACE|MESSAGE]...", help="As `dlq list` prints them."),
    ] = None,
    reason: Reason = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters once more: new id, `causationid` the original id, source `cli`.

    By --reason, those that were replayed before are left out. A replay into an open conversation counts against its
    budgets. What is no envelope cannot be replayed: `dlq show --raw` saves it, `send` takes it when mended. Exit code 1
    when nothing could be replayed.
    """
    settings = session.load_settings()
    if not names and reason is None:
        msg = "say which: places or message ids as `signalbox dlq list` prints them, or --reason"
        raise UsageError(msg)
    facts = _facts(settings)
    plan = _plan(facts, names or [], reason)
    if not dry_run and plan.messages:
        _confirm(len(plan.messages), is_confirmed=yes)
        deliver(settings, AGENT_MESSAGES, [_line(message) for message in plan.messages])
    if as_json:
        session.print_json({"dry_run": dry_run, **plan.as_json()})
    else:
        verb = "would replay" if dry_run else "replayed"
        for message in plan.messages:
            typer.echo(f"{verb} {message.causationid} as {message.id} in {message.subject}")
        for place, why in plan.skipped:
            session.note(f"left out {place}: {why}")
    if not plan.messages:
        session.note("nothing to replay")
        raise typer.Exit(1)


def _plan(facts: Sequence[Fact], names: Sequence[str], reason: str | None) -> Plan:
    entries: Sequence[Entry] = _of_reason(entries_of(facts), reason)
    if names:
        entries = find(entries, names)
    known = {fact.body.id for fact in facts if isinstance(fact.body, Envelope)}
    return plan_of(entries, known, session.now(), again=bool(names))


def _confirm(count: int, *, is_confirmed: bool) -> None:
    if is_confirmed:
        return
    what = "1 message" if count == 1 else f"{count} messages"
    if not sys.stdin.isatty():
        msg = f"{what} would be sent; confirm with --yes, or look first with --dry-run"
        raise UsageError(msg)
    typer.confirm(f"Send {what}?", abort=True, err=True)


def _line(message: Envelope) -> SendLine:
    return SendLine(
        0, message.id, message.subject, message.type, message.to_json(), message.headers()
    )


def _facts(settings: Settings) -> tuple[Fact, ...]:
    return read_facts(settings, session.reach_broker(settings))


def _of_reason(entries: Sequence[Entry], reason: str | None) -> list[Entry]:
    known = get_args(DeadLetterReason)
    if reason is not None and reason not in known:
        msg = f"--reason {reason!r} is none of {', '.join(known)}"
        raise UsageError(msg)
    return [entry for entry in entries if reason in {None, entry.letter.reason}]


def _record(entry: Entry) -> dict[str, Any]:
    return entry.letter.model_dump(mode="json", exclude_none=True)


def _summary(entry: Entry) -> dict[str, Any]:
    record = _record(entry)
    return {"place": entry.place, **{k: v for k, v in record.items() if not k.startswith("value")}}
