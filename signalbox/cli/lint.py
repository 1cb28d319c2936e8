"""`signalbox agents lint`: what is valid and still will not work, without a broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.cli.screen import counted
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import FLEET_FILE, FleetFolder
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import DefinitionError, UsageError
from signalbox.lint.finding import Finding
from signalbox.lint.likeness import Likeness, by_meaning, by_words
from signalbox.lint.run import lint
from signalbox.settings import EmbedderSettings
from signalbox.workflows.loading import open_fleet, problems_in

INVALID = "invalid"


def lint_agents(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help=f"Folders with a {FLEET_FILE} each.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Look for what is valid and still will not work: overlaps, dead ends, circles, names that do not exist.

    Several folders are judged as active together. Exit code 1 when there is an error, 0 with warnings. The rules:
    docs/linting.md.
    """
    problems = [problem for folder in folders for problem in problems_in(folder)]
    found = tuple(_invalid(problem) for problem in problems) or _findings(folders)
    levels = Counter(one.level for one in found)
    if as_json:
        session.print_json(
            {
                "findings": [one.as_json() for one in found],
                "errors": levels["error"],
                "warnings": levels["warning"],
            }
        )
    else:
        for one in found:
            typer.echo(str(one))
        session.note(
            f"{counted(levels['error'], 'error')}, {counted(levels['warning'], 'warning')}"
        )
    if levels["error"]:
        raise typer.Exit(1)


def _findings(folders: list[Path]) -> tuple[Finding, ...]:
    opened: list[FleetFolder] = [open_fleet(folder) for folder in folders]
    try:
        active = ActiveSet.of(one.fleet for one in opened)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return lint(opened, likeness_of(active.agents, session.load_settings().embedder))


def likeness_of(agents: Mapping[str, AgentDefinition], settings: EmbedderSettings) -> Likeness:
    """Return how alike descriptions are, by the configured embedder, or by words alone where there is none.

    Raises:
        ConfigurationError: the embedder that is named cannot be had, or its weights are not those that were meant.
    """
    from connectors.embedders import embedder_from  # noqa: PLC0415 (its libraries are slow to import)

    descriptions = {name: agent.description for name, agent in agents.items()}
    embedder = embedder_from(settings)
    if embedder.name == "lexical":
        return by_words(descriptions)
    return by_meaning(descriptions, embedder)


def _invalid(problem: DefinitionError) -> Finding:
    return Finding(
        Path(problem.path),
        problem.line,
        problem.column,
        INVALID,
        "error",
        problem.problem,
        problem.hint,
    )
