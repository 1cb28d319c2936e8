"""`signalbox ask`: a prompt in, the plan while it is carried out, the answer out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from connectors.broker import BrokerError
from signalbox.cli import session
from signalbox.cli.ask_request import PROMPT_SUBMITTED, prompt_data, started_by
from signalbox.cli.ask_seen import PromptSeen, prompt_seen
from signalbox.cli.ask_view import answer_lines, as_json, files_of, live_lines, why_not
from signalbox.cli.demo_run import Stopwatch
from signalbox.cli.facts import Fact
from signalbox.cli.following import follow
from signalbox.cli.moments import duration
from signalbox.cli.outgoing import line_of, new_message
from signalbox.cli.run_events import events_of
from signalbox.cli.screen import printable, show_lines
from signalbox.cli.send import deliver
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import to_epoch_ms
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.errors import UsageError
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES

app = typer.Typer()

_REFRESH_PER_SECOND: Final = 8
_MAX_STDIN_CHARS: Final = 1024 * 1024
_NOTHING: Final = PromptSeen(run=None, outcome=None, not_started=None)


@app.command()
def ask(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT|-", help="What you want to know; - is stdin.")
    ],
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture that belongs to it.")
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Its conversation; a new one without it.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Wait at most so many seconds.")] = 300.0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON only, one object.")] = False,
) -> None:
    """Ask for an answer: a plan is made, specialists do its tasks, and what they found becomes the answer.

    The plan is shown on stderr as it progresses, the answer on stdout. Exit code 1 with the reason when the plan is refused or
    fails, or there is no answer in time; 2 when nothing was sent: an empty prompt, a file that is no picture, no workflow that
    takes prompts, no stack. Ctrl-C leaves the conversation running.
    """
    said = sys.stdin.read(_MAX_STDIN_CHARS) if prompt == "-" else prompt
    data = prompt_data(said, image)
    settings = session.load_settings()
    definition = started_by(_active(settings), data)
    message = new_message(PROMPT_SUBMITTED, conversation or session.new_id("ask"), data)
    watch = Stopwatch(timeout)
    try:
        seen = _watched(_steps(settings, message, timeout), message, definition, is_json=json_)
    except KeyboardInterrupt:
        session.note(
            f"\nthe conversation goes on; find it again with: signalbox trace {message.subject}"
        )
        raise typer.Exit(130) from None
    files = files_of(seen.plan, settings.home / "outbox")
    if json_:
        session.print_json(
            as_json(seen, conversation=message.subject, seconds=watch.seconds, files=files)
        )
    elif seen.answer is not None:
        show_lines(answer_lines(seen, files))
    why = why_not(seen, message.subject, timeout)
    if why is not None:
        session.note(printable(why))
        raise typer.Exit(1)
    if not json_:
        session.note(_ended(seen, message.subject))


def _active(settings: Settings) -> ActiveSet:
    try:
        return session.read_active(settings)
    except BrokerError as error:
        # Nothing was sent, so asking is what was wrong, not the answer.
        raise UsageError(str(error)) from error


def _steps(settings: Settings, message: Envelope, timeout: float) -> Iterator[PromptSeen]:
    """Send the message, and yield what is seen of it at every poll, until it is over or the time is."""
    line = line_of(message)

    def send() -> Sequence[Fact]:
        deliver(settings, AGENT_MESSAGES, [line])
        return ()

    found = follow(
        session.open_broker(settings),
        message.subject,
        prefix=settings.kafka.topic_prefix,
        begin=send,
        seconds=timeout,
    )
    before = -1
    for facts in found:
        seen = prompt_seen(message, facts)
        yield seen
        # Topics are read side by side: an outcome may be seen before the answers that led to it.
        if seen.is_over and len(facts) == before:
            return
        before = len(facts)


def _watched(
    steps: Iterable[PromptSeen],
    message: Envelope,
    definition: WorkflowDefinition,
    *,
    is_json: bool,
) -> PromptSeen:
    if is_json:
        return _last(steps, lambda _: None)
    console = Console(stderr=True)
    if console.is_terminal:
        return live(steps, message, definition, console)
    return _last(steps, _Told(message).tell)


def _last(steps: Iterable[PromptSeen], show: Callable[[PromptSeen], None]) -> PromptSeen:
    seen = _NOTHING
    for seen in steps:
        show(seen)
    return seen


def live(
    steps: Iterable[PromptSeen],
    message: Envelope,
    definition: WorkflowDefinition,
    console: Console,
) -> PromptSeen:
    """Redraw the run on `console` at every step; return the last."""
    sent_ms = to_epoch_ms(message.time)

    def drawn(seen: PromptSeen) -> Group:
        now_ms, width = to_epoch_ms(session.now()), console.width
        lines = live_lines(seen, definition, sent_ms=sent_ms, now_ms=now_ms, width=width)
        return Group(*(Text(printable(line.text), style=line.style) for line in lines))

    with Live(console=console, refresh_per_second=_REFRESH_PER_SECOND) as shown:
        return _last(steps, lambda seen: shown.update(drawn(seen)))


class _Told:
    """Tells each event once, a line on stderr."""

    def __init__(self, message: Envelope) -> None:
        self._sent_ms = to_epoch_ms(message.time)
        self._told: set[str] = set()

    def tell(self, seen: PromptSeen) -> None:
        if seen.run is None:
            return
        for event in events_of(seen.run, to_epoch_ms(session.now())):
            if event.key not in self._told:
                self._told.add(event.key)
                elapsed = duration(max(0, event.at_ms - self._sent_ms), sign=True)
                session.note(printable(f"{elapsed:>9}  {event.text}"))


def _ended(seen: PromptSeen, conversation: str) -> str:
    assert seen.outcome is not None
    outcome = seen.outcome
    took = int((outcome.ended_at - outcome.started_at).total_seconds() * 1000)
    return (
        f"completed after {duration(took)}, {outcome.tokens} tokens; signalbox trace {conversation}"
    )
