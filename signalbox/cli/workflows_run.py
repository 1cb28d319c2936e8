"""`signalbox workflows run` and `workflows cancel`: start a run and see it through; stop one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.cli.facts import Fact
from signalbox.cli.following import follow
from signalbox.cli.json_data import read_object
from signalbox.cli.outgoing import line_of, new_message
from signalbox.cli.reading import read_facts
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_seen import RunSeen
from signalbox.cli.run_watch import WatchedRun
from signalbox.cli.screen import printable
from signalbox.cli.send import deliver
from signalbox.cli.send_lines import Line
from signalbox.cli.workflow_start import start_type
from signalbox.contracts.envelope import WORKFLOW_CANCEL, Envelope
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only, one object.")]


def run(
    name: Annotated[str, typer.Argument(help="The workflow.")],
    data: Annotated[
        str,
        typer.Argument(
            metavar="[DATA|-|@FILE]", help="What it is given: a JSON object; - is stdin."
        ),
    ] = "{}",
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Its conversation; a new one without it.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="See it through, or only start it.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Wait at most so many seconds.")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Start a workflow with one message, show its steps as they go, and print its outcome and result.

    The data is checked first. Exit code 0 when it completed (with --no-wait: once it was sent), 1 when it ended otherwise or not
    in time, 2 when nothing was sent: no such workflow, data that it does not take.
    """
    given = read_object(data, "DATA")
    settings = session.load_settings()
    session.require_broker(settings)
    active = session.read_active(settings)
    kind = start_type(active, name, given)
    message = new_message(kind, conversation or session.new_id("conv"), given)
    line = line_of(message)
    if not wait:
        deliver(settings, AGENT_MESSAGES, [line])
        _say_sent(name, message, as_json=as_json)
        return
    definition = active.workflows[name]
    watched = WatchedRun(name, message, is_told=not as_json)
    try:
        for facts in _followed(settings, line, timeout):
            if watched.see(facts):
                break
    except KeyboardInterrupt:
        session.note(f"\nit goes on; stop it with: signalbox workflows cancel {message.subject}")
        raise typer.Exit(130) from None
    watched.report(definition, timeout, as_json=as_json)


def cancel(
    conversation: Annotated[str, typer.Argument(help="The conversation in which it runs.")],
    reason: Annotated[str | None, typer.Option(help="Why; its outcome says so.")] = None,
    by: Annotated[str | None, typer.Option(help="Who wants it; without it `cli`.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is undone and has its outcome.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Wait at most so many seconds.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Stop a workflow's run: what runs comes to rest, then what was done is undone where the workflow says so.

    Exit code 1 where there is nothing to stop, nobody took it in time, or, with --wait, the outcome is not `cancelled`.
    """
    settings = session.load_settings()
    session.require_broker(settings)
    before = read_facts(settings, session.reach_broker(settings))
    running = _running(conversation, before)
    said = {"reason": reason, "cancelled_by": by, "started_by": running.start_id}
    message = new_message(
        WORKFLOW_CANCEL, conversation, {key: value for key, value in said.items() if value}
    )
    watched = WatchedRun(running.name or "", message, is_told=wait and not as_json)
    watched.start_id = running.start_id
    watched.skip(before)
    for facts in _followed(settings, line_of(message), timeout, before):
        is_over = watched.see(facts)
        if is_over or (not wait and watched.cancelled is not None):
            break
    watched.report_cancel(timeout, is_waiting=wait, as_json=as_json)


def _followed(
    settings: Settings, line: Line, timeout: float, before: Sequence[Fact] = ()
) -> Iterator[tuple[Fact, ...]]:
    def send() -> Sequence[Fact]:
        deliver(settings, AGENT_MESSAGES, [line])
        return before

    yield from follow(
        session.open_broker(settings),
        line.key,
        prefix=settings.kafka.topic_prefix,
        begin=send,
        seconds=timeout,
    )


def _running(conversation: str, facts: Sequence[Fact]) -> RunSeen:
    """Return the run to cancel, as the records say; a run of which they do not know yet cannot be meant."""
    runs = runs_of(conversation, facts)
    if not runs:
        is_known = any(fact.conversation_id == conversation for fact in facts)
        what = "no workflow ran in" if is_known else "no record of"
        session.note(
            f"{what} conversation {conversation!r}; ids are printed by `signalbox workflows run` and `signalbox send`"
        )
        raise typer.Exit(1)
    last = runs[-1]
    if last.outcome is not None:
        detail = printable(last.outcome.detail)
        session.note(f"workflow {last.name} is over already: {last.outcome.status}, {detail}")
        raise typer.Exit(1)
    return last


def _say_sent(name: str, message: Envelope, *, as_json: bool) -> None:
    if as_json:
        sent = {"conversation": message.subject, "message": message.id, "type": message.type}
        session.print_json({"workflow": name, **sent})
        return
    typer.echo(message.subject)
    session.note(f"sent {message.type}; see it with: signalbox trace {message.subject}")
