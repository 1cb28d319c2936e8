"""`signalbox approvals`: what waits for a person, and the person's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from signalbox.cli import session
from signalbox.cli.facts import Fact
from signalbox.cli.following import follow
from signalbox.cli.inbox import Item, found_by, items_of
from signalbox.cli.inbox_answer import Answer, answer_to
from signalbox.cli.inbox_view import lines_of
from signalbox.cli.json_data import read_object
from signalbox.cli.outgoing import line_of, new_message
from signalbox.cli.reading import read_facts
from signalbox.cli.run_events import events_of
from signalbox.cli.run_facts import runs_of
from signalbox.cli.screen import printable, show_lines
from signalbox.cli.send import deliver
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import REVIEW_RESOLVED, Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.definitions.fleet import ActiveSet
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES

app = typer.Typer(no_args_is_help=True, help="What waits for a person: list it, answer it.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="TOKEN|MESSAGE|CONVERSATION",
        help="As `approvals list` prints it; a conversation where one thing waits there.",
    ),
]
By = Annotated[str | None, typer.Option(help="Who decides; without it `cli`.")]
Comment = Annotated[str | None, typer.Option(help="Why; the record of a step says so.")]
Timeout = Annotated[float, typer.Option(min=1, help="Wait so many seconds for its record.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


@app.command("list")
def list_open(as_json: AsJson = False) -> None:
    """List what waits for a person, the oldest first: steps of workflows, and messages that nobody could be chosen for."""
    settings = session.load_settings()
    session.require_broker(settings)
    now_ms = _now_ms()
    facts = read_facts(settings, session.reach_broker(settings))
    items = [item for item in items_of(facts, now_ms) if item.closed is None]
    if as_json:
        session.print_json({"approvals": [item.as_json() for item in items]})
        return
    if not items:
        session.note("nothing waits for a person")
        return
    show_lines(lines_of(items, now_ms))
    session.note("\nanswer with: signalbox approvals approve|reject TOKEN|MESSAGE|CONVERSATION")


@app.command()
def approve(
    name: Name,
    *,
    agent: Annotated[
        str | None, typer.Option(help="Who gets the message; for messages only.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE|-",
            help="What the agent is given in place of the data: an object, a file that holds one, or standard input.",
        ),
    ] = None,
    comment: Comment = None,
    by: By = None,
    timeout: Timeout = 15.0,
    as_json: AsJson = False,
) -> None:
    """Agree to a workflow's step, or give a message to --agent; then say what happened next.

    With --data the agent is given that instead; the message stays what it is, and the record names the edit.
    Exit code 1 where nothing of that name is open, or nobody took the answer in time.
    """
    edited = None if data is None else read_object(data, "--data")
    answer = Answer("approve", agent, edited)
    _resolve(name, answer, _Said(comment, by), timeout, as_json=as_json)


@app.command()
def reject(
    name: Name,
    comment: Comment = None,
    by: By = None,
    timeout: Timeout = 15.0,
    as_json: AsJson = False,
) -> None:
    """Refuse a workflow's step, which has failed then, or let nobody act on a message; then say what happened next.

    Exit code 1 where nothing of that name is open, or nobody took the answer in time.
    """
    _resolve(name, Answer("reject"), _Said(comment, by), timeout, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a person says besides yes and no."""

    comment: str | None
    by: str | None

    def with_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return `data` with it."""
        said = {"comment": self.comment, "resolved_by": self.by}
        return {**data, **{key: value for key, value in said.items() if value}}


@dataclass(slots=True)
class _Fate:
    """What became of an answer. `then` are the lines that tell what followed."""

    record: str | None = None
    dead_letter: DeadLetter | None = None
    then: list[str] = field(default_factory=list)


def _resolve(name: str, answer: Answer, said: _Said, timeout: float, *, as_json: bool) -> None:
    settings = session.load_settings()
    session.require_broker(settings)
    before = read_facts(settings, session.reach_broker(settings))
    item = _named(name, items_of(before, _now_ms()))
    # Asked only where it matters: a step's answer names nobody.
    active = session.read_active(settings) if answer.needs_definitions else ActiveSet.of(())
    data = answer_to(item, answer, active)
    message = new_message(REVIEW_RESOLVED, item.review.conversation_id, said.with_data(data))
    fate = _sent(settings, item, message, before, timeout)
    if as_json:
        letter = fate.dead_letter
        dead = None if letter is None else {"reason": letter.reason, "detail": letter.detail}
        sent = {
            "decision": answer.verb,
            "message": message.id,
            "record": fate.record,
            "dead_letter": dead,
        }
        session.print_json({**item.as_json(), **sent, "then": fate.then})
    elif fate.dead_letter is not None:
        what = "too late" if fate.dead_letter.reason == "late" else "refused"
        session.note(f"{what}: {printable(fate.dead_letter.detail)}")
    elif fate.record is None:
        session.note(
            f"sent, and not taken up within {timeout:g} s; is the job running? `signalbox status` says"
        )
    else:
        for text in (fate.record, *fate.then):
            typer.echo(printable(text))
        session.note(f"see it with: signalbox trace {item.review.conversation_id}")
    if fate.record is None or fate.dead_letter is not None:
        raise typer.Exit(1)


def _named(name: str, items: Sequence[Item]) -> Item:
    """Return the one open question that `name` names, or end the command with what is known."""
    found = found_by(name, items)
    if not found:
        waiting = sum(item.closed is None for item in items)
        session.note(f"nothing waits, or waited, under {name!r}; {waiting} open: `approvals list`")
    elif len(found) > 1 and found[0].closed is None:
        names = ", ".join(f"{item.name} ({item.what})" for item in found)
        session.note(f"{len(found)} things wait in {name}; say which: {printable(names)}")
    elif found[-1].closed is not None:
        one = found[-1]
        session.note(printable(f"{one.what} is not open any more; {one.closed}"))
    else:
        return found[0]
    raise typer.Exit(1)


def _sent(
    settings: Settings, item: Item, message: Envelope, before: Sequence[Fact], timeout: float
) -> _Fate:
    """Send the answer and return what became of it, once its record and what came with it are there."""

    def send() -> Sequence[Fact]:
        deliver(settings, AGENT_MESSAGES, [line_of(message)])
        return before

    fate, count = _Fate(), len(before)
    for facts in follow(
        session.open_broker(settings),
        message.subject,
        prefix=settings.kafka.topic_prefix,
        begin=send,
        seconds=timeout,
    ):
        fate = _fate(item, message, before, facts)
        is_quiet, count = len(facts) == count, len(facts)
        if is_quiet and (fate.record is not None or fate.dead_letter is not None):
            break
    return fate


def _fate(item: Item, message: Envelope, before: Sequence[Fact], facts: Sequence[Fact]) -> _Fate:
    letters = (fact.body for fact in facts if isinstance(fact.body, DeadLetter))
    fate = _Fate(dead_letter=next((o for o in letters if o.message_id == message.id), None))
    now_ms = _now_ms()
    again = next((one for one in items_of(facts, now_ms) if one.name == item.name), item)
    if again.closed is not None and again.closed.startswith("answered: "):
        fate.record = again.closed.removeprefix("answered: ")
    elif again.review.opened_at > item.review.opened_at:
        fate.record = f"asked again: {again.review.reason}"
    told = {
        event.key for run in runs_of(message.subject, before) for event in events_of(run, now_ms)
    }
    told |= {f"{item.name} answered"}
    for run in runs_of(message.subject, facts):
        fate.then += [one.text for one in events_of(run, now_ms) if one.key not in told]
    known = {id(fact) for fact in before}
    for fact in facts:
        if isinstance(fact.body, Outcome) and id(fact) not in known:
            detail = fact.body.detail if fact.body.status != "completed" else ""
            fate.then.append(f"■ {fact.body.status}" + (f": {detail}" if detail else ""))
    return fate


def _now_ms() -> int:
    return to_epoch_ms(session.now())
