"""`signalbox`: the list of commands. A command's module is imported when it is called, so `--help` stays instant."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of `signalbox --help`. `module` has an `app`; the command is the app itself, or its member of this name.

    `embeds` are commands that compare texts in this process.
    """

    module: str
    help: str
    panel: str
    is_group: bool = False
    embeds: bool = False


_STACK: Final = "The stack"
_LOOK: Final = "Messages"
_FLEET: Final = "Agents and engine"

COMMANDS: Final[dict[str, _Entry]] = {
    "demo": _Entry("signalbox.cli.demo", "See leads travel through the agents.", _STACK),
    "up": _Entry("signalbox.cli.stack", "Start Kafka, Flink, the jobs and the agents.", _STACK),
    "down": _Entry("signalbox.cli.stack", "Stop exactly what `up` started.", _STACK),
    "status": _Entry("signalbox.cli.stack", "List processes, jobs, agents, topics, lag.", _STACK),
    "doctor": _Entry("signalbox.cli.stack", "Check this machine, and say how to fix it.", _STACK),
    "ask": _Entry("signalbox.cli.ask", "Ask for an answer, and watch the plan for it.", _LOOK),
    "send": _Entry("signalbox.cli.send", "Send messages, one JSON object a line.", _LOOK),
    "trace": _Entry("signalbox.cli.trace", "Show the path of one conversation.", _LOOK),
    "explain": _Entry("signalbox.cli.explain", "Show why a message went where it went.", _LOOK),
    "dlq": _Entry("signalbox.cli.dlq", "List, show and replay dead letters.", _LOOK, is_group=True),
    "health": _Entry("signalbox.cli.health", "Say how well messages flow, and what to do.", _LOOK),
    "cost": _Entry("signalbox.cli.cost", "Show what calls and tokens were spent on.", _LOOK),
    "review": _Entry(
        "signalbox.cli.review", "Turn people's decisions into labels.", _LOOK, is_group=True
    ),
    "approvals": _Entry(
        "signalbox.cli.approvals", "List and answer what waits for a person.", _LOOK, is_group=True
    ),
    "replay": _Entry(
        "signalbox.cli.replay",
        "Decide what was sent again, by other definitions.",
        _LOOK,
        embeds=True,
    ),
    "agents": _Entry(
        "signalbox.cli.agents",
        "List, validate, lint, route, apply, remove agents.",
        _FLEET,
        is_group=True,
        embeds=True,
    ),
    "workflows": _Entry(
        "signalbox.cli.workflows", "List, show, run and cancel workflows.", _FLEET, is_group=True
    ),
    "eval": _Entry(
        "signalbox.cli.eval", "Measure decisions on labelled messages.", _FLEET, embeds=True
    ),
    "source": _Entry(
        "signalbox.cli.source", "Read leads from MongoDB or a folder.", _FLEET, is_group=True
    ),
    "outbox": _Entry(
        "signalbox.cli.outbox", "List mails, send those that are due.", _FLEET, is_group=True
    ),
    "sql": _Entry(
        "signalbox.cli.sql", "Render the SQL, open Flink's client.", _FLEET, is_group=True
    ),
    "deploy": _Entry(
        "signalbox.cli.deploy",
        "Make what somebody else's cluster is given.",
        _FLEET,
        is_group=True,
    ),
    "readmodel": _Entry(
        "signalbox.cli.readmodel", "Build the gateway's read model anew.", _FLEET, is_group=True
    ),
    "keys": _Entry(
        "signalbox.cli.keys", "Make, list, revoke API keys of the gateway.", _FLEET, is_group=True
    ),
    "config": _Entry(
        "signalbox.cli.config", "Show the settings and their origin.", _FLEET, is_group=True
    ),
}


class LazyGroup(TyperGroup):
    """A group whose commands are stubs until one is called; also where every error of ours becomes one message."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stub that was named by the real command."""
        name, stub, rest = super().resolve_command(ctx, args)
        if stub is None or name not in COMMANDS:
            return name, stub, rest
        return name, _real(name, COMMANDS[name]), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a `SignalboxError` ends it with one message on stderr and an exit code, no traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from signalbox.errors import SignalboxError  # noqa: PLC0415 (pydantic is slow to import)

            if not isinstance(error, SignalboxError) or os.environ.get("SIGNALBOX_TRACEBACK"):
                raise
            _fail(error)


def _fail(error: Exception) -> NoReturn:
    from signalbox.errors import (  # noqa: PLC0415 (see above)
        ConfigurationError,
        SignalboxError,
        UsageError,
    )

    code = error.code if isinstance(error, SignalboxError) else "SB-000"
    typer.secho(f"error [{code}]: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(str(error), err=True)
    raise typer.Exit(2 if isinstance(error, UsageError | ConfigurationError) else 1) from None


def _real(name: str, entry: _Entry) -> Any:
    if entry.embeds:
        # Before numpy is imported. For texts this short a second thread of OpenBLAS gains nothing, and on a busy machine
        # threads that wait for each other took four times the CPU.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if error.name != entry.module:
            raise
        typer.echo(f"error: `signalbox {name}` is not part of this installation", err=True)
        raise typer.Exit(2) from None
    command = typer.main.get_command(module.app)
    # Typer makes a plain command of an app with a single one.
    members = getattr(command, "commands", None)
    if not entry.is_group and members is not None:
        command = members[name]
    command.name = name
    return command


def _print_version(value: bool) -> None:
    if value:
        from signalbox import __version__  # noqa: PLC0415

        typer.echo(f"signalbox {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    name="signalbox",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """An orchestrator for teams of AI agents: one Flink job decides, Kafka carries, agents answer.

    Start with `signalbox demo`. Settings are SIGNALBOX_* variables; `signalbox config show` lists them.
    """


def _stub() -> None:
    """Stand for a command in `--help`."""


for _name, _entry in COMMANDS.items():
    app.command(_name, help=_entry.help, rich_help_panel=_entry.panel)(_stub)


def main() -> None:
    """Run the command line."""
    app(prog_name="signalbox")
