"""A fleet from its folder with its workflows checked: what `validate` refuses, nothing else takes either."""

from __future__ import annotations

from pathlib import Path

from signalbox.definitions import loader
from signalbox.definitions.fleet import Fleet
from signalbox.definitions.loader import FleetFolder
from signalbox.errors import DefinitionError
from signalbox.workflows.check import problems_of


def load_fleet(folder: Path) -> Fleet:
    """Load a fleet's agents and workflows.

    Raises:
        DefinitionError: at the first file and place that is wrong.
    """
    return open_fleet(folder).fleet


def open_fleet(folder: Path) -> FleetFolder:
    """Load a fleet together with the places of everything in it. Raises `DefinitionError` as `load_fleet` does."""
    opened = loader.open_fleet(folder)
    for problem in workflow_problems(opened):
        raise problem
    return opened


def problems_in(folder: Path) -> list[DefinitionError]:
    """Return what is wrong in a fleet's folder; of workflows that are well written everything, of other files the first."""
    found = loader.problems_in(folder)
    return found or workflow_problems(loader.open_fleet(folder))


def workflow_problems(folder: FleetFolder) -> list[DefinitionError]:
    """Return what is wrong with the workflows of a fleet that loads, with its places."""
    return [
        folder.workflow_files[name].error(problem.loc, problem.what, problem.hint)
        for name, definition in folder.fleet.workflows.items()
        for problem in problems_of(definition, folder.fleet.agents)
    ]
