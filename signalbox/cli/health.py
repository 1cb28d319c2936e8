"""`signalbox health`: how well messages flow, as a score, with what is the matter and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from connectors.broker import Broker
from connectors.heartbeats import recent_heartbeats
from connectors.topic_reader import read_topic
from signalbox.cli import session
from signalbox.cli.dead_letters import marks_of
from signalbox.cli.flow_facts import window_of
from signalbox.cli.moments import duration
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import Line, counted, show_lines
from signalbox.contracts.record import to_epoch_ms
from signalbox.errors import UsageError
from signalbox.flow.health import Health, assess, told
from signalbox.flow.window import HOUR_MS, MINUTE_MS, FlowWindow, Span
from signalbox.settings import Settings
from signalbox.topics import DEAD_LETTER_MARKS, full_name

app = typer.Typer()

_GOOD: Final = 90
_FAIR: Final = 60


@app.command()
def health(
    last: Annotated[
        str, typer.Option(metavar="15m|6h", help="How much of the past: minutes or hours.")
    ] = "15m",
    fail_under: Annotated[
        int, typer.Option(min=0, max=100, help="Exit code 1 with fewer points than this.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Say how well messages flow: up to 100 points, what each missing one is for, and the next step. docs/flow-health.md has all.

    Exit code 1 with fewer points than --fail-under.
    """
    length_ms = length_of(last)
    settings = session.load_settings()
    window = read_window(settings, session.reach_broker(settings), length_ms)
    found = assess(window)
    if as_json:
        session.print_json(told(window, found))
    else:
        show_lines(lines_of(found, window, last))
    if found.score < fail_under:
        session.note(f"{found.score} points are fewer than --fail-under {fail_under}")
        raise typer.Exit(1)


def length_of(text: str) -> int:
    """Return the length that `15m` or `6h` means, ms.

    Raises:
        UsageError: it is neither, or not between a minute and a day.
    """
    found = re.fullmatch(r"([0-9]{1,4})(m|h)", text)
    length_ms = 0 if found is None else int(found[1]) * (MINUTE_MS if found[2] == "m" else HOUR_MS)
    if not MINUTE_MS <= length_ms <= 24 * HOUR_MS:
        msg = f"--last {text!r} is no window; give minutes or hours up to a day: 15m, 6h"
        raise UsageError(msg)
    return length_ms


def read_window(settings: Settings, broker: Broker, length_ms: int) -> FlowWindow:
    """Return the window of this length that ends now, from the topics.

    Raises:
        BrokerError: the broker does not answer, or has no topics of ours.
    """
    now = session.now()
    prefix = settings.kafka.topic_prefix
    facts = read_facts(settings, broker)
    marks = marks_of(read_topic(broker, full_name(prefix, DEAD_LETTER_MARKS)))
    living = {beat.agent for beat in recent_heartbeats(broker, prefix, now)}
    span = Span.last(length_ms, to_epoch_ms(now))
    return window_of(facts, span, living=living, marked=marks)


def lines_of(found: Health, window: FlowWindow, last: str) -> Iterator[Line]:
    """Yield the score, then a line a finding with its remedy below."""
    style = "bold green" if found.score >= _GOOD else "bold yellow"
    head = (
        f"Flow {found.score} of 100 · {counted(len(found.findings), 'finding')} · the last {last}"
    )
    yield Line(head, style if found.score >= _FAIR else "bold red")
    if found.is_idle:
        yield Line("nothing happened: no message, decision or outcome")
    else:
        yield Line(_numbers(window), "dim")
    width = max((len(one.code) for one in found.findings), default=0)
    for one in found.findings:
        yield Line("")
        yield Line(f" -{one.points:<3} {one.code:<{width}}  {one.what}")
        yield Line(f"      → {one.remedy}", "dim")


def _numbers(window: FlowWindow) -> str:
    decided = sum(window.paths.values())
    ended = sum(one.number for one in window.outcomes.values())
    parts = [
        counted(window.messages, "message"),
        f"{counted(decided, 'decision')} ({window.none} NONE)",
        f"{counted(ended, 'conversation')} ended",
    ]
    if window.hops.number:
        hops = window.hops
        parts.append(f"to a task p50 {duration(hops.p50_ms)}, p95 {duration(hops.p95_ms)}")
    return " · ".join(parts)
