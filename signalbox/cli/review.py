"""`signalbox review`: what people decided, as labelled rows and as examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer

from signalbox.cli import session
from signalbox.cli.labels import Choice, choices_of, examples_of, row_of
from signalbox.cli.reading import read_facts
from signalbox.cli.screen import counted, printable
from signalbox.definitions.add_examples import add_examples
from signalbox.definitions.loader import FLEET_FILE, load_agent
from signalbox.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Turn people's decisions into labels and examples.")


@app.command()
def labels(
    out: Annotated[
        Path | None, typer.Option(help="Write the rows to this file, not to stdout.")
    ] = None,
) -> None:
    """Print one labelled row per review that a person decided, as `signalbox eval --messages` reads them.

    The rows hold the messages' data: keep them where that may be kept. Exit code 1 when nobody decided anything yet.
    """
    rows = [orjson.dumps(row_of(choice)) for choice in _choices()]
    if out is None:
        for row in rows:
            typer.echo(row)
    else:
        _write(out, b"".join(row + b"\n" for row in rows))
        session.note(f"wrote {len(rows)} rows to {out}; `signalbox eval --messages {out}`")


@app.command()
def examples(
    agent: Annotated[str | None, typer.Option(help="Only for this agent.")] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="A fleet's folder: append them to its definitions. Read them first."),
    ] = None,
) -> None:
    """Print what was said in messages that people decided, as `examples:` for the agents they chose.

    With --into they are appended to the definitions' files; nothing runs by them before `signalbox agents apply`.
    """
    files = {} if into is None else _definitions_in(into)
    if agent is not None and into is not None and agent not in files:
        _refuse_missing(into, [agent], files)
    found: dict[str, list[str]] = defaultdict(list)
    for name, text in examples_of(_choices(), agent):
        found[name].append(text)
    if not found:
        whom = f" for {agent}" if agent else ""
        session.note(
            f"no text of a decided message to learn from{whom}: people chose nobody, or the messages say nothing "
            "in words; `signalbox review labels` lists what was decided"
        )
        raise typer.Exit(1)
    if into is None:
        for name, texts in sorted(found.items()):
            typer.echo(f"# {name}\nexamples:")
            for text in texts:
                # A JSON string is a YAML string, whatever is in it.
                typer.echo(f"- {orjson.dumps(printable(text)).decode()}")
        return
    missing = sorted(found.keys() - files.keys())
    if missing:
        _refuse_missing(into, missing, files)
    for name, texts in sorted(found.items()):
        added = add_examples(files[name], texts)
        session.note(f"{files[name]}: {counted(added, 'example')} added")


def _choices() -> tuple[Choice, ...]:
    settings = session.load_settings()
    found, gone = choices_of(read_facts(settings, session.reach_broker(settings)))
    if gone:
        session.note(
            f"{gone} more were decided, but their messages are no longer on agent_messages"
        )
    if not found:
        session.note("no person decided a review yet; `signalbox approvals list` shows open ones")
        raise typer.Exit(1)
    return found


def _refuse_missing(into: Path, missing: list[str], files: Collection[str]) -> NoReturn:
    msg = f"--into {into}: no definition of {', '.join(missing)} there; it defines {', '.join(sorted(files))}"
    raise UsageError(msg)


def _definitions_in(folder: Path) -> dict[str, Path]:
    if not (folder / FLEET_FILE).is_file():
        msg = f"--into {folder} has no {FLEET_FILE}; give a fleet's folder, like agent_definitions/sdr"
        raise UsageError(msg)
    paths = (path for path in sorted(folder.glob("*.yaml")) if path.name != FLEET_FILE)
    return {load_agent(path).name: path for path in paths}


def _write(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as error:
        msg = (
            f"--out {out} cannot be written: {error.strerror}; name a file in a folder that exists"
        )
        raise UsageError(msg) from None
