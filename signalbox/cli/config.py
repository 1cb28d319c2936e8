"""`signalbox config show`: every setting, its value and where the value comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, SecretStr

from signalbox.cli import session
from signalbox.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Show the settings and their origin.")

Origin = Literal["default", "env", ".env"]


@app.callback()
def _group() -> None:
    """Show the settings and their origin."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf: its environment variable, its value ready to print (secrets masked), and who set it."""

    variable: str
    value: Any
    origin: Origin


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False) -> None:
    """Print every setting with its value and origin: default, env, or .env. Secrets are masked."""
    settings = session.load_settings()
    found = list(settings_with_origin(settings, os.environ, _dotenv()))
    if as_json:
        session.print_json(
            {item.variable: {"value": item.value, "origin": item.origin} for item in found}
        )
        return
    width = max(len(item.variable) for item in found)
    for item in found:
        typer.echo(f"{item.variable:<{width}}  {item.origin:<7}  {_text(item.value)}")


def settings_with_origin(
    settings: Settings, environ: Mapping[str, str], dotenv: Mapping[str, str]
) -> Iterator[Setting]:
    """Yield every leaf of `settings` in the order of its declaration; the environment wins over `.env`."""
    upper_environ = {name.upper() for name in environ}
    upper_dotenv = {name.upper() for name in dotenv}
    for path, value in _leaves(settings, ()):
        # A section may also be given whole, as JSON in one variable.
        names = {session.variable_of(path[: depth + 1]) for depth in range(len(path))}
        origin: Origin = "default"
        if names & upper_environ:
            origin = "env"
        elif names & upper_dotenv:
            origin = ".env"
        yield Setting(session.variable_of(path), value, origin)


def _leaves(model: BaseModel, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), _printable(value)


def _printable(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None:
        return "(unset)"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _dotenv() -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415 (only needed here)

    return {name: value or "" for name, value in dotenv_values(".env").items()}
