"""`signalbox keys`: API keys of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.contracts.record import rfc3339
from signalbox.gateway.key_place import keys_file
from signalbox.gateway.keys import SCOPES, add_key, read_keys, remove_key

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys of the gateway.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Name = Annotated[str, typer.Argument(help="Whose it is: letters, digits, . _ -")]


@app.command()
def create(
    name: Name,
    scope: Annotated[
        list[str], typer.Option("--scope", help=f"What it may do: {', '.join(SCOPES)}; repeatable.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is shown this once; the file keeps its SHA-256."""
    path = _file()
    key = add_key(path, name, scope, session.now())
    if as_json:
        session.print_json({"name": name, "scopes": sorted(scope), "key": key})
        return
    typer.echo(key)
    session.note(f"kept in {path}; send it as `Authorization: Bearer …`")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys by name, with their scopes."""
    keys = read_keys(_file())
    if as_json:
        session.print_json(
            [
                {"name": o.name, "scopes": sorted(o.scopes), "created_at": rfc3339(o.created_at)}
                for o in keys
            ]
        )
        return
    for one in keys:
        typer.echo(f"{one.name}  {', '.join(sorted(one.scopes))}  {rfc3339(one.created_at)}")
    if not keys:
        session.note("no key; make one with: signalbox keys create NAME --scope read")


@app.command()
def revoke(name: Name) -> None:
    """Take a key out: the gateway refuses it within a second. Exit code 1 where there is none of this name."""
    if not remove_key(_file(), name):
        session.note(f"no key {name!r}; `signalbox keys list` has their names")
        raise typer.Exit(1)


def _file() -> Path:
    return keys_file(session.load_settings())
