"""`signalbox replay`: what other definitions would have decided, over a range of what was really sent."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from connectors.caching_model import CachingChatModel
from connectors.chat_model import ChatModel
from connectors.models import chat_model_from
from connectors.registry_history import RegistryHistory, read_history
from connectors.replay_reading import fill
from connectors.replay_run import ModelCaller, Replay
from connectors.replay_store import ReplayStore
from connectors.topic_range import resolve_range
from signalbox.cli import session
from signalbox.cli.replay_view import lines_of
from signalbox.cli.screen import show_lines
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import FLEET_FILE
from signalbox.engine import engine_policy
from signalbox.errors import ConfigurationError, UsageError
from signalbox.replay.answers import Recorded
from signalbox.replay.bounds import parse_bound
from signalbox.replay.candidate_set import with_candidates
from signalbox.replay.page import page
from signalbox.replay.report import Report
from signalbox.routing.rules import Rulebook, Rules
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES, full_name
from signalbox.workflows.loading import load_fleet

app = typer.Typer()


@app.command()
def replay(
    *,
    definitions: Annotated[
        list[Path],
        typer.Option(
            help="A fleet's folder, in place of the active fleet of its name. Repeatable."
        ),
    ],
    start: Annotated[
        str,
        typer.Option("--from", help="earliest, latest, an RFC 3339 time, or offset:P=N,…"),
    ] = "earliest",
    stop: Annotated[str, typer.Option("--to", help="The same; not part of the range.")] = "latest",
    model: Annotated[
        str | None,
        typer.Option(help="As records name it (ollama/llama3.2): others' answers do not count."),
    ] = None,
    call_model: Annotated[
        bool, typer.Option("--call-model", help="Ask the model for what is not on record.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=256, help="Model calls at once.")] = 8,
    limit: Annotated[
        int, typer.Option(min=0, help="Conversations to list, the counts are of all; 0: all.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page.")] = None,
) -> None:
    """Decide a range of agent_messages again by other definitions, and report what would differ.

    Every message is decided on its own, in the state it met then. No agent runs, nothing is written to a topic, and
    answers of models are taken from the decision records; where there is none the message is `unknown`.
    """
    settings = session.load_settings()
    told = (start, stop)
    bounds = (parse_bound(start, "--from"), parse_bound(stop, "--to"))
    fleets = [fleet for folder in definitions for fleet in _fleets_in(folder)]
    asked = _record_name(model, settings)
    _check_writable(html)
    broker = session.reach_broker(settings)
    prefix = settings.kafka.topic_prefix
    spans = resolve_range(broker, full_name(prefix, AGENT_MESSAGES), bounds, told)
    versions = read_history(broker, topic_prefix=prefix, engine=engine_policy(settings))
    candidate = _compile(versions.active, fleets, settings)
    report = Report(limit)
    with (
        tempfile.TemporaryDirectory(prefix="signalbox-replay-") as folder,
        closing(ReplayStore(Path(folder))) as store,
    ):
        report.skipped.update(fill(store, broker, prefix, spans))
        plan = _Plan(settings, candidate, versions, asked, call_model, parallel)
        asyncio.run(plan.run(store, report))
    value = {
        "from": start,
        "to": stop,
        "ranges": {str(number): list(span) for number, span in sorted(spans.items())},
        "definitions": candidate.digest,
        "active_definitions": versions.active.digest if versions.active else None,
        "model": plan.model_name if call_model else asked,
        **report.as_json(),
    }
    if html is not None:
        named = ", ".join(str(folder) for folder in definitions)
        _write(html, page(value, f"{named} ({candidate.digest}), {start} to {stop}"))
    if as_json:
        session.print_json(value)
    else:
        show_lines(lines_of(value))


@dataclass(frozen=True, slots=True)
class _Plan:
    settings: Settings
    candidate: Rules
    versions: RegistryHistory
    model: str | None
    is_calling: bool
    parallel: int

    @property
    def model_name(self) -> str:
        """The name of the model that would be asked, as records have it."""
        return self._chat_model().name

    async def run(self, store: ReplayStore, report: Report) -> None:
        """Compare everything in `store`; the model's connections are closed at the end."""
        recorded = Recorded(store, self.versions, Rulebook(self.candidate), self.model)
        if not self.is_calling:
            await Replay(store, recorded).run(report)
            return
        model = CachingChatModel(self._chat_model())
        try:
            caller = ModelCaller(model, self.candidate.engine)
            await Replay(store, recorded, caller, self.parallel).run(report)
        finally:
            await model.close()

    def _chat_model(self) -> ChatModel:
        settings = self.settings.model
        if self.model is not None:
            provider, _, name = self.model.partition("/")
            changed = {"provider": provider.partition(":")[0], "name": name or None}
            settings = settings.model_copy(update=changed)
        return chat_model_from(settings, self.settings.embedder)


def _record_name(model: str | None, settings: Settings) -> str | None:
    """Return a model's name as records have it: with its provider, the configured one where none is said."""
    if model is None:
        return None
    provider, separator, name = model.partition("/")
    if provider.partition(":")[0] == "embedded" or (provider in {"ollama", "openai"} and name):
        return model
    configured = settings.model.provider
    if separator or configured == "embedded":
        msg = f"--model {model!r} names no provider; write ollama/NAME, openai/NAME or embedded, as records have it"
        raise UsageError(msg)
    return f"{configured}/{model}"


def _compile(active: ActiveSet | None, fleets: list[Fleet], settings: Settings) -> Rules:
    try:
        return Rules.compile(with_candidates(active, fleets), engine_policy(settings))
    except ValueError as error:
        msg = f"--definitions: {error}"
        raise ConfigurationError(msg) from None


def _fleets_in(folder: Path) -> list[Fleet]:
    """Load a fleet's folder, or the fleets' folders below it."""
    if not folder.is_dir():
        msg = f"--definitions {folder} is no folder; give a fleet's folder, like agent_definitions/sdr"
        raise UsageError(msg)
    if (folder / FLEET_FILE).is_file():
        return [load_fleet(folder)]
    below = sorted(path.parent for path in folder.glob(f"*/{FLEET_FILE}"))
    return [load_fleet(path) for path in below] or [load_fleet(folder)]


def _write(html: Path, text: str) -> None:
    try:
        html.write_text(text, "utf-8")
    except OSError as error:
        msg = f"--html {html} cannot be written: {error.strerror}; name a file you may write"
        raise UsageError(msg) from None
    session.note(f"wrote {html}")


def _check_writable(html: Path | None) -> None:
    if html is not None and not html.parent.is_dir():
        msg = f"--html {html}: there is no folder {html.parent}; make it first"
        raise UsageError(msg)
