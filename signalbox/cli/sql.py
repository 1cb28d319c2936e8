"""`signalbox sql`: render the SQL files, open Flink's client on the running cluster, ask a question."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from signalbox.cli.session import load_settings, read_active
from signalbox.errors import UsageError
from signalbox.settings import Settings

if TYPE_CHECKING:
    from signalbox.local_stack.layout import Layout

app = typer.Typer(no_args_is_help=True, help="Render the SQL, open Flink's client, ask a question.")

_FOLDER: Final = "sql"
_MAX_ROWS: Final = 1000
_BROKER_MS: Final = 2000


@app.command()
def render(
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default `sql` in the stack's folder.")
    ] = None,
) -> None:
    """Write every SQL file as the jobs and the client run it, with the settings and the active definitions filled in.

    Where no broker answers, or none were applied yet, the definitions are those that `up` would apply.
    """
    from connectors.topic_admin import answers  # noqa: PLC0415 (slow to import, like jinja2)
    from signalbox.local_stack.fleets import load_fleets  # noqa: PLC0415
    from signalbox.local_stack.sql_client import write_files  # noqa: PLC0415

    settings = _settings()
    active = None
    if answers(settings.kafka.servers, timeout_ms=_BROKER_MS, security=settings.kafka.security):
        active = read_active(settings)
    if active is None or not active.agents:
        active = load_fleets(settings)
    for path in write_files(settings, out or settings.home.absolute() / _FOLDER, active):
        typer.echo(path)


@app.command()
def client() -> None:
    """Open Flink's SQL client with every table, view and function registered.

    Without a terminal (a pipe, a file), the statements on standard input are run as by `ask --file -`.
    """
    settings = _settings()
    if not sys.stdin.isatty():
        # The client reads a pipe as if it were typed: a tab completes, and a line that ends with a semicolon is one
        # statement, whatever else stands on it.
        _answer(settings, sys.stdin.read(), as_json=False, limit=_MAX_ROWS)
        return
    from signalbox.local_stack import sql_client  # noqa: PLC0415 (see above)

    layout = _layout(settings)
    sql_client.open_client(layout.cluster, settings, layout.home / _FOLDER)


@app.command()
def ask(
    name: Annotated[
        str | None, typer.Argument(help="A question; without one they are listed.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="What the question is about."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="SQL of your own; - is standard input.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows of an answer.")] = (
        _MAX_ROWS
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a row, one on a line.")
    ] = False,
) -> None:
    """Answer a question about what is on the topics now, like `signalbox sql ask decisions_by_path`."""
    from flink_jobs import sql_files  # noqa: PLC0415 (see above)

    if name is None and file is None:
        for known in sql_files.names():
            if known.startswith("questions/"):
                typer.echo(f"{known.removeprefix('questions/'):<24} {sql_files.headline(known)}")
        return
    if name is not None and file is not None:
        msg = f"a question by name ('{name}') and --file {file} at once; give one of them"
        raise UsageError(msg)
    settings = _settings()
    parameters = _parameters(parameter or [])
    _answer(
        settings,
        _read(file)
        if file is not None
        else sql_files.render(settings, f"questions/{name}", mode="adhoc", parameters=parameters),
        as_json=as_json,
        limit=limit,
    )


def _read(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--file {file} cannot be read ({error}); give a file of SQL in UTF-8, or - for standard input"
        raise UsageError(msg) from None


def _answer(settings: Settings, text: str, *, as_json: bool, limit: int) -> None:
    from signalbox.cli import sql_view  # noqa: PLC0415 (see above)
    from signalbox.local_stack import sql_client  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGHUP):
        # A gateway of our own must not outlive us.
        signal.signal(number, _leave)
    layout = _layout(settings)
    answers = sql_client.ask(
        layout.cluster,
        settings,
        layout.home,
        text,
        row_format="JSON" if as_json else "PLAIN_TEXT",
    )
    for answer in answers:
        if as_json:
            sql_view.print_rows(answer, limit)
        else:
            sql_view.print_table(answer, limit)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _layout(settings: Settings) -> Layout:
    from signalbox.local_stack.java import find_java  # noqa: PLC0415 (see above)
    from signalbox.local_stack.layout import layout_of  # noqa: PLC0415

    return layout_of(settings, find_java())


def _settings() -> Settings:
    # Tables name the file of a password, never the password.
    from signalbox.local_stack.layout import home_of  # noqa: PLC0415 (see above)
    from signalbox.local_stack.secret_files import with_secrets_in_files  # noqa: PLC0415

    settings = load_settings()
    return with_secrets_in_files(settings, home_of(settings))


def _parameters(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.isidentifier():
            msg = f"--param {pair!r} is not NAME=VALUE; for example --param conversation=lead-0-0"
            raise UsageError(msg)
        found[name] = value
    return found
