"""`signalbox eval`: how good the decisions of a fleet are, on labelled messages. Needs no broker and changes nothing."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from connectors.chat_model import ChatModel
from connectors.models import chat_model_from
from signalbox.cli import session
from signalbox.cli.eval_fit import fitted, keep, place_of
from signalbox.cli.eval_run import Evaluation, Progress
from signalbox.cli.eval_view import lines_of, percent
from signalbox.cli.screen import show_lines
from signalbox.definitions.agent_list import load_calibration, load_definitions
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import Calibration
from signalbox.errors import UsageError
from signalbox.evaluation.page import page
from signalbox.evaluation.report import Asked, predictions
from signalbox.evaluation.report import report as report_of
from signalbox.evaluation.results import Result
from signalbox.evaluation.rows import LabelledRow, read_rows
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.settings import ModelSettings, Provider, RoutingPolicy, Settings
from signalbox.workflows.loading import load_fleet

app = typer.Typer()


@app.command("eval")
def evaluate(
    *,
    definitions: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="A fleet's folder, or a YAML file with a list `agents:`."
        ),
    ],
    messages: Annotated[
        str,
        typer.Option(
            metavar="FILE|-",
            help="Labelled rows, one JSON object a line: id, expected, text or data.",
        ),
    ],
    predictions_file: Annotated[
        Path | None,
        typer.Option(
            "--predictions", metavar="OUT", help="Write every row's answer, as JSON lines."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write the report as a page that needs no network."),
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Exit 1 where the accuracy is below this: a share up to 1 (0.95), else percent (95).",
        ),
    ] = None,
    fit: Annotated[
        bool,
        typer.Option("--fit", help="Fit the calibration on these rows first, and keep it."),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Use this calibration instead of the fleet's; with --fit, write it here instead.",
        ),
    ] = None,
    provider: Annotated[
        Provider | None, typer.Option(help="Instead of SIGNALBOX_MODEL__PROVIDER.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Instead of SIGNALBOX_MODEL__NAME.")] = None,
    policy: Annotated[
        RoutingPolicy | None, typer.Option(help="Instead of the fleet's own policy.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Decide labelled messages as the job would, and report how many went where they should.

    A row is `{"id": …, "expected": agent or NONE, "text": … or "data": {…}}`; see docs/evaluation.md. Exit code 1
    where --fail-under is missed or a row got no answer from the model.
    """
    fit_to = place_of(definitions, calibration) if fit else None
    for out in (predictions_file, html, fit_to):
        _check_writable(out)
    settings = _settings(provider, model, policy)
    fleet = load_fleet(definitions) if definitions.is_dir() else load_definitions(definitions)
    rows = read_rows(_read(messages), frozenset(fleet.agents), name=messages)
    if calibration is not None and not fit:
        fleet = _calibrated(fleet, load_calibration(calibration))
    if fit_to is not None:
        fleet = _fit(fleet, rows, settings)
    rulebook = _rulebook(fleet, settings)
    chat_model = chat_model_from(settings.model, settings.embedder)
    results = _run(rows, rulebook, chat_model, settings)
    if fit_to is not None:
        keep(fleet.policy.calibration, definitions, fit_to)
    asked = Asked(
        definitions=str(definitions),
        messages=messages,
        provider=settings.model.provider,
        model=chat_model.name,
        policy=settings.routing.policy or fleet.policy.policy,
        calibration=fleet.policy.calibration.model_dump(),
        is_fitted=fit,
    )
    found = report_of(results, rulebook, asked)
    if predictions_file is not None:
        _write(
            predictions_file, b"".join(orjson.dumps(one) + b"\n" for one in predictions(results))
        )
    if html is not None:
        _write(html, page(found).encode())
    if as_json:
        session.print_json(found)
    else:
        show_lines(lines_of(found))
    _judge(found, fail_under)


def _settings(
    provider: Provider | None, model: str | None, policy: RoutingPolicy | None
) -> Settings:
    settings = session.load_settings()
    changes: dict[str, Any] = {}
    if provider is not None:
        changes["provider"] = provider
    if model is not None:
        changes["name"] = model
    chosen: ModelSettings = settings.model.model_copy(update=changes)
    routing = settings.routing
    if policy is not None:
        routing = routing.model_copy(update={"policy": policy})
    return settings.model_copy(update={"model": chosen, "routing": routing})


def _calibrated(fleet: Fleet, calibration: Calibration) -> Fleet:
    return replace(fleet, policy=fleet.policy.model_copy(update={"calibration": calibration}))


def _rulebook(fleet: Fleet, settings: Settings) -> Rulebook:
    engine = EnginePolicy(
        policy=settings.routing.policy,
        model_timeout_seconds=settings.model.timeout_seconds,
        model_max_attempts=settings.model.max_attempts,
    )
    return Rulebook(Rules.compile(ActiveSet.of([fleet]), engine))


def _fit(fleet: Fleet, rows: Sequence[LabelledRow], settings: Settings) -> Fleet:
    with _progress("fit", len(rows)) as progress:
        calibration = fitted(
            rows, _rulebook(fleet, settings), fleet.policy.calibration, settings, progress
        )
    return _calibrated(fleet, calibration)


def _run(
    rows: Sequence[LabelledRow], rulebook: Rulebook, model: ChatModel, settings: Settings
) -> list[Result]:
    # The embedded model computes here: several at once would only wait for each other, and be timed doing so.
    is_here = settings.model.provider == "embedded"
    at_once = 1 if is_here else settings.model.max_in_flight
    evaluation = Evaluation(rulebook, model, at_once=at_once, prepares=is_here)
    with _progress("rows", len(rows)) as progress:
        return asyncio.run(evaluation.run(rows, progress))


@contextmanager
def _progress(what: str, total: int) -> Iterator[Progress]:
    """Show how far it is, on stderr and only to a person."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 (slow to import)
    from rich.progress import Progress as Bar  # noqa: PLC0415

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _judge(found: dict[str, Any], fail_under: float | None) -> None:
    accuracy = found["right"] / found["rows"]
    if fail_under is not None:
        wanted = fail_under if fail_under <= 1 else fail_under / 100
        if accuracy < wanted:
            session.note(f"accuracy {percent(accuracy)} is below --fail-under {percent(wanted)}")
            raise typer.Exit(1)
    if found["unanswered"]:
        session.note(
            f"{len(found['unanswered'])} rows got no answer; the figures are not to be trusted"
        )
        raise typer.Exit(1)


def _read(messages: str) -> list[bytes]:
    try:
        content = sys.stdin.buffer.read() if messages == "-" else Path(messages).read_bytes()
        return content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        msg = f"{messages} cannot be read: {error.strerror}; give a file with one JSON object a line, or -"
        raise UsageError(msg) from None


def _check_writable(path: Path | None) -> None:
    """Refuse a place that cannot be written before rows are decided for minutes."""
    if path is not None and (
        path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)
    ):
        msg = f"{path} cannot be written; give a file in a folder that exists"
        raise UsageError(msg)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; give a path in a folder that exists"
        raise UsageError(msg) from None
