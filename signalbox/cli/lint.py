"""`signalbox agents lint`: what is valid and still will not work, without a broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from connectors.lexical_scorer import LexicalScorer
from signalbox.cli import session
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import FLEET_FILE, FleetFolder
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import DefinitionError, UsageError
from signalbox.lint.finding import Finding
from signalbox.lint.overlaps import Likeness
from signalbox.lint.run import lint
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
        session.note(f"{levels['error']} errors, {levels['warning']} warnings")
    if levels["error"]:
        raise typer.Exit(1)


def _findings(folders: list[Path]) -> tuple[Finding, ...]:
    opened: list[FleetFolder] = [open_fleet(folder) for folder in folders]
    try:
        active = ActiveSet.of(one.fleet for one in opened)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return lint(opened, lexical_likeness(active.agents))


def lexical_likeness(agents: Mapping[str, AgentDefinition]) -> Likeness:
    """Return how much of one description's words are the other's, for lack of an embedder."""
    texts = {name: (agent.description,) for name, agent in agents.items()}
    scorer = LexicalScorer(texts)
    places: dict[str, Mapping[str, float]] = {}

    def placed(name: str) -> Mapping[str, float]:
        if name not in places:
            scores = scorer.place(agents[name].description).scores
            own = scores[name] or 1.0
            places[name] = {other: min(1.0, score / own) for other, score in scores.items()}
        return places[name]

    return lambda one, other: min(placed(one)[other], placed(other)[one])


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
