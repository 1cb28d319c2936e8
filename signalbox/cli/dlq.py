"""`signalbox dlq`: what could not go on, and trying it again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError

from connectors.broker import Broker
from connectors.topic_reader import read_topic
from signalbox.cli import session
from signalbox.cli.dead_letters import (
    Entry,
    Marks,
    Plan,
    State,
    entries_of,
    find,
    marks_of,
    plan_of,
    raw_value,
    state_of,
)
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import Line, printable, show_lines
from signalbox.cli.send import deliver
from signalbox.cli.send_lines import Line as SendLine
from signalbox.contracts.dead_letter import DeadLetterReason
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import rfc3339
from signalbox.errors import UsageError
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES, DEAD_LETTER_MARKS, full_name

app = typer.Typer(no_args_is_help=True, help="List, show, replay and discard dead letters.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Reason = Annotated[str | None, typer.Option(help="Only dead letters of this reason.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE|MESSAGE]...", help="As `dlq list` prints them."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the topics say of dead letters: each of them, what people said of them, and the ids on `agent_messages`."""

    entries: tuple[Entry, ...]
    marks: Marks
    ids: frozenset[str]

    def state(self, entry: Entry) -> State:
        return state_of(entry, self.ids, self.marks)

    def chosen(self, names: Sequence[str], reason: str | None) -> Sequence[Entry]:
        """Return the entries of `names`, or all, of a reason."""
        entries = _of_reason(self.entries, reason)
        return find(entries, names) if names else entries


@app.command("list")
def list_dead_letters(
    reason: Reason = None,
    conversation: Annotated[str | None, typer.Option(help="Only of this conversation.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    include_discarded: Annotated[
        bool, typer.Option("--all", help="Also those that were discarded.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters that were not discarded, oldest first: place, reason, topic, message, what was wrong."""
    known = _read(session.load_settings())
    entries = _of_reason(known.entries, reason)
    if conversation is not None:
        entries = [one for one in entries if one.letter.conversation_id == conversation]
    discarded = [one for one in entries if known.state(one) == "discarded"]
    if not include_discarded:
        entries = [one for one in entries if known.state(one) != "discarded"]
    shown = entries[-limit:]
    if as_json:
        session.print_json([_summary(entry, known) for entry in shown])
        return
    for entry in shown:
        letter = entry.letter
        what = letter.message_id or "(no id)"
        text = (
            f"{entry.place:<7} {rfc3339(letter.failed_at)}  {letter.reason}  {letter.topic}  {what}"
        )
        if (state := known.state(entry)) != "open":
            text += f"  ({state})"
        show_lines([Line(text), Line(f"        {letter.detail}", "dim")])
    counts = Counter(entry.letter.reason for entry in entries)
    total = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    session.note(f"{len(entries)} dead letters{': ' + total if total else ''}")
    if discarded and not include_discarded:
        session.note(f"{len(discarded)} were discarded; --all shows them")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PLACE|MESSAGE", help="As `dlq list` prints it.")],
    raw: Annotated[
        bool, typer.Option(help="Print the original value only, byte for byte.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its original value."""
    known = _read(session.load_settings())
    found = find(known.entries, {name})
    if not found:
        session.note(f"no dead letter {name!r}; `signalbox dlq list` prints places and message ids")
        raise typer.Exit(1)
    entry = found[-1]
    if raw:
        sys.stdout.buffer.write(raw_value(entry.letter))
        return
    if as_json:
        told = {"place": entry.place, "state": known.state(entry), **_record(entry)}
        mark = known.marks.get(entry.place)
        session.print_json(told if mark is None else {**told, "discarded": _json_of(mark)})
        return
    fields = {"state": _told_state(entry, known), **_record(entry)}
    for field, value in fields.items():
        if field not in {"value", "value_base64"}:
            typer.echo(printable(f"{field:<16} {value}"))
    text = raw_value(entry.letter).decode("utf-8", "replace")
    typer.echo(
        f"\n{printable(text[:4000])}{' … (cut; --raw prints all)' if len(text) > 4000 else ''}"
    )


@app.command()
def replay(
    names: Names = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters once more: new id, `causationid` the original id, source `cli`.

    By --reason, those that were replayed before or discarded are left out. A replay into an open conversation counts against its
    budgets. What is no envelope cannot be replayed: `dlq show --raw` saves it, `send` takes it when mended. Exit code 1
    when nothing could be replayed.
    """
    settings = session.load_settings()
    _require_choice(names, reason)
    plan = _plan(_read(settings), names or [], reason)
    if not dry_run and plan.messages:
        _confirm("Send", "message", len(plan.messages), is_confirmed=yes)
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


@app.command()
def discard(  # noqa: PLR0917 (each is an option of the command)
    names: Names = None,
    reason: Reason = None,
    note: Annotated[str, typer.Option(help="Why; it is kept with the dead letter.")] = "",
    by: Annotated[str, typer.Option(help="Who says so.")] = "cli",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say of dead letters that nobody will send them again: a record each on `dead_letter_marks`.

    They stay on their topic; `dlq list --all` shows them, and a replay by their place still sends them. Those that were
    replayed or discarded before are left out. Exit code 1 when there was nothing to discard.
    """
    settings = session.load_settings()
    _require_choice(names, reason)
    known = _read(settings)
    chosen = known.chosen(names or [], reason)
    marks = [_mark(entry.place, note, by) for entry in chosen if known.state(entry) == "open"]
    skipped = [(entry.place, state) for entry in chosen if (state := known.state(entry)) != "open"]
    if not dry_run and marks:
        _confirm("Discard", "dead letter", len(marks), is_confirmed=yes)
        deliver(settings, DEAD_LETTER_MARKS, [_line_of_mark(mark) for mark in marks])
    if as_json:
        left_out = [{"place": place, "why": f"{state} before"} for place, state in skipped]
        places = [mark.place for mark in marks]
        session.print_json({"dry_run": dry_run, "discarded": places, "skipped": left_out})
    else:
        verb = "would discard" if dry_run else "discarded"
        for mark in marks:
            typer.echo(f"{verb} {mark.place}")
        for place, state in skipped:
            session.note(f"left out {place}: {state} before")
    if not marks:
        session.note("nothing to discard")
        raise typer.Exit(1)


def _plan(known: _Known, names: Sequence[str], reason: str | None) -> Plan:
    chosen = known.chosen(names, reason)
    return plan_of(chosen, known.ids, session.now(), again=bool(names), marks=known.marks)


def _require_choice(names: Sequence[str] | None, reason: str | None) -> None:
    if not names and reason is None:
        msg = "say which: places or message ids as `signalbox dlq list` prints them, or --reason"
        raise UsageError(msg)


def _confirm(verb: str, what: str, count: int, *, is_confirmed: bool) -> None:
    if is_confirmed:
        return
    told = f"{verb} 1 {what}" if count == 1 else f"{verb} {count} {what}s"
    if not sys.stdin.isatty():
        msg = f"{told}? confirm with --yes, or look first with --dry-run"
        raise UsageError(msg)
    typer.confirm(f"{told}?", abort=True, err=True)


def _mark(place: str, note: str, by: str) -> DeadLetterMark:
    try:
        return DeadLetterMark(place=place, status="discarded", note=note, by=by, at=session.now())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        msg = f"--{first['loc'][0]}: {first['msg']}; say it shorter"
        raise UsageError(msg) from None


def _line_of_mark(mark: DeadLetterMark) -> SendLine:
    return SendLine(0, mark.place, mark.place, mark.status, mark.to_json(), {})


def _line(message: Envelope) -> SendLine:
    return SendLine(
        0, message.id, message.subject, message.type, message.to_json(), message.headers()
    )


def _read(settings: Settings) -> _Known:
    broker = session.reach_broker(settings)
    facts = read_facts(settings, broker)
    ids = frozenset(fact.body.id for fact in facts if isinstance(fact.body, Envelope))
    return _Known(entries_of(facts), _read_marks(settings, broker), ids)


def _read_marks(settings: Settings, broker: Broker) -> Marks:
    topic = full_name(settings.kafka.topic_prefix, DEAD_LETTER_MARKS)
    with closing(broker.log_reader()) as reader:
        # A stack of an earlier version has no such topic until `up` makes it.
        is_there = bool(reader.partitions(topic))
    return marks_of(read_topic(broker, topic)) if is_there else {}


def _of_reason(entries: Sequence[Entry], reason: str | None) -> list[Entry]:
    known = get_args(DeadLetterReason)
    if reason is not None and reason not in known:
        msg = f"--reason {reason!r} is none of {', '.join(known)}"
        raise UsageError(msg)
    return [entry for entry in entries if reason in {None, entry.letter.reason}]


def _record(entry: Entry) -> dict[str, Any]:
    return entry.letter.model_dump(mode="json", exclude_none=True)


def _json_of(mark: DeadLetterMark) -> dict[str, Any]:
    return mark.model_dump(mode="json")


def _told_state(entry: Entry, known: _Known) -> str:
    mark = known.marks.get(entry.place)
    if mark is None:
        return known.state(entry)
    why = f": {mark.note}" if mark.note else ""
    return f"{known.state(entry)} (discarded by {mark.by} at {rfc3339(mark.at)}{why})"


def _summary(entry: Entry, known: _Known) -> dict[str, Any]:
    record = {key: value for key, value in _record(entry).items() if not key.startswith("value")}
    return {"place": entry.place, "state": known.state(entry), **record}
