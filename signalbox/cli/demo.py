"""`signalbox demo`: leads travel through the agents while a person watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from signalbox.cli import session
from signalbox.cli.demo_leads import DEFAULT_LEADS, Seed, load_seeds
from signalbox.cli.demo_progress import Progress, unexpected
from signalbox.cli.demo_run import Stopwatch, run
from signalbox.cli.demo_view import Surroundings, event_line, summary, table
from signalbox.cli.facts import Fact
from signalbox.cli.ollama_probe import local_models
from signalbox.cli.screen import show_lines
from signalbox.errors import UsageError
from signalbox.local_stack.gateway import pages_url
from signalbox.settings import Settings
from signalbox.topics import INCOMING_LEADS
from signalbox.workflows.loading import load_fleet

app = typer.Typer()

DEFINITIONS: Final = Path(__file__).resolve().parents[2] / "agent_definitions"
_REFRESH_PER_SECOND: Final = 8


@app.command()
def demo(
    fleet: Annotated[str, typer.Option(help="Whose demo leads to send.")] = "sdr",
    leads: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = DEFAULT_LEADS,
    timeout: Annotated[float, typer.Option(min=1, help="Give up after so many seconds.")] = 300.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on the last line.")
    ] = False,
) -> None:
    """Start what is missing, send leads, and show how they travel until each has its outcome.

    The stack is left running; `signalbox down` stops it. Ctrl-C stops what this command started. Every run uses new
    conversations, so it can be repeated. Exit code 1 unless every lead ended, and as its demo file says where that says so.
    """
    settings = _with_fleet(session.load_settings(), fleet)
    run_id = session.new_id("r").removeprefix("r-")[:6]
    seeds = load_seeds(_folder(fleet) / "demo", leads, run=run_id, at=session.now())
    with _stack(settings):
        agents = _apply(settings, fleet)
        watched = _watch(settings, seeds, agents, timeout=timeout, as_json=as_json)
    progress = watched.progress
    if as_json:
        session.print_json(progress.as_json(seconds=watched.seconds))
    else:
        is_leads = any(seed.topic == INCOMING_LEADS for seed in seeds)
        what = "leads" if is_leads else "conversations"
        around = _surroundings(settings, watched, what)
        show_lines(summary(progress, around, seconds=watched.seconds))
    wrong = unexpected(seeds, progress)
    for line in wrong:
        session.note(line)
    if wrong or progress.ended < len(progress.rows):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Watched:
    """A finished run. `began_at` is epoch seconds."""

    progress: Progress
    seconds: float
    began_at: float


def _watch(
    settings: Settings,
    seeds: Sequence[Seed],
    agents: Sequence[str],
    *,
    timeout: float,
    as_json: bool,
) -> Watched:
    watch, began_at = Stopwatch(timeout), time.time()
    steps = run(
        session.open_broker(settings),
        seeds,
        agents,
        prefix=settings.kafka.topic_prefix,
        is_over=lambda progress: progress.is_settled or watch.is_over,
    )
    console = Console()
    if as_json:
        progress = _last(steps, lambda _: None)
    elif console.is_terminal:
        progress = _live(steps, console, watch)
    else:
        names = {seed.conversation: seed.name for seed in seeds}
        progress = _last(steps, lambda facts: _print_events(facts, names, began_at))
    return Watched(progress, watch.seconds, began_at)


def _last(
    steps: Iterator[tuple[Progress, tuple[Fact, ...]]], show: Callable[[Sequence[Fact]], None]
) -> Progress:
    progress = Progress({})
    for progress, facts in steps:  # noqa: B007 (the last one is the answer)
        show(facts)
    return progress


def _print_events(facts: Sequence[Fact], names: dict[str, str], began_at: float) -> None:
    for fact in facts:
        name = names.get(fact.conversation_id or "")
        line = event_line(fact, name, fact.at_ms - int(began_at * 1000)) if name else None
        if line is not None:
            typer.echo(line)


def _live(
    steps: Iterator[tuple[Progress, tuple[Fact, ...]]], console: Console, watch: Stopwatch
) -> Progress:
    progress = Progress({})
    with Live(console=console, refresh_per_second=_REFRESH_PER_SECOND, transient=False) as live:
        for progress, _ in steps:
            live.update(table(progress, seconds=watch.seconds, width=console.width))
    console.print()
    return progress


@contextmanager
def _stack(settings: Settings) -> Iterator[None]:
    """Run the body with the stack up; on Ctrl-C stop it, if it was started here."""
    from signalbox.local_stack.api import down, up  # noqa: PLC0415 (slow to import)

    was_started = up(settings, detach=True, report=session.note)
    try:
        yield
    except KeyboardInterrupt:
        if was_started:
            session.note("\nstopping what was started …")
            down(settings, report=session.note)
        raise typer.Exit(130) from None


def _apply(settings: Settings, fleet: str) -> tuple[str, ...]:
    """Make sure the fleet is active, also on a stack that was started without it; return all active agents."""
    active = session.read_active(settings)
    if fleet not in active.fleet_of.values():
        loaded = load_fleet(_folder(fleet))
        moment = session.now()
        change = session.change_registry(
            settings,
            lambda state: state.activated(state.active.with_fleet(loaded), removed_at=moment),
            agents=loaded.agents,
            moment=moment,
        )
        active = change.after.active
    return tuple(active.agents)


def _folder(fleet: str) -> Path:
    known = sorted(path.parent.name for path in DEFINITIONS.glob("*/fleet.yaml"))
    if fleet not in known:
        msg = f"no fleet {fleet!r} in {DEFINITIONS}; there are: {', '.join(known) or 'none'}"
        raise UsageError(msg)
    return DEFINITIONS / fleet


def _with_fleet(settings: Settings, fleet: str) -> Settings:
    if fleet in settings.fleets:
        return settings
    return settings.model_copy(update={"fleets": (*settings.fleets, fleet)})


def _surroundings(settings: Settings, watched: Watched, what: str) -> Surroundings:
    outbox = settings.home / "outbox"
    mails = [p for p in outbox.rglob("*.eml") if p.stat().st_mtime >= watched.began_at - 1]
    is_embedded = settings.model.provider == "embedded"
    return Surroundings(
        what=what,
        model=f"{settings.model.provider}/{settings.model.name or ''}",
        is_embedded=is_embedded,
        ollama_models=local_models() if is_embedded else (),
        mails=len(mails),
        outbox=str(outbox),
        pages_url=pages_url(settings),
        flink_url=f"http://127.0.0.1:{settings.flink.rest_port}",
        is_other_model=any(
            not model.startswith(settings.model.provider) for model in watched.progress.models
        ),
    )
