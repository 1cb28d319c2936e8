"""`signalbox sql`: render the SQL files, open Flink's client on the running cluster, ask a question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from signalbox.cli.session import load_settings
from signalbox.errors import UsageError
from signalbox.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Render the SQL, open Flink's client.")

_FOLDER: Final = "sql"


@app.command()
def render(
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default `sql` in the stack's folder.")
    ] = None,
) -> None:
    """Write every SQL file as the jobs and the client run it, with the settings filled in."""
    from signalbox.local_stack.sql_client import write_files  # noqa: PLC0415 (jinja2 is slow to import)

    settings = _settings()
    for path in write_files(settings, out or settings.home.absolute() / _FOLDER):
        typer.echo(path)


@app.command()
def client() -> None:
    """Open Flink's SQL client with every table, view and function registered."""
    from signalbox.local_stack import sql_client  # noqa: PLC0415 (see above)
    from signalbox.local_stack.java import find_java  # noqa: PLC0415
    from signalbox.local_stack.layout import layout_of  # noqa: PLC0415

    settings = _settings()
    layout = layout_of(settings, find_java())
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
        typer.Option("--file", "-f", exists=True, dir_okay=False, help="SQL of your own."),
    ] = None,
) -> None:
    """Answer a question about what is on the topics now, like `signalbox sql ask decisions_by_path`."""
    from flink_jobs import sql_files  # noqa: PLC0415 (see above)

    if name is None and file is None:
        for known in sql_files.names():
            if known.startswith("questions/"):
                typer.echo(f"{known.removeprefix('questions/'):<24} {sql_files.headline(known)}")
        return
    from signalbox.local_stack import sql_client  # noqa: PLC0415
    from signalbox.local_stack.java import find_java  # noqa: PLC0415
    from signalbox.local_stack.layout import layout_of  # noqa: PLC0415

    settings = _settings()
    if file is not None:
        text = file.read_text(encoding="utf-8")
    else:
        text = sql_files.render(
            settings, f"questions/{name}", mode="adhoc", parameters=_parameters(parameter or [])
        )
    layout = layout_of(settings, find_java())
    typer.echo(sql_client.ask(layout.cluster, settings, layout.home / _FOLDER, text))


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
