"""Load definitions from YAML, with errors that point at a place: `path:line:column: what, the value, what is right`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signalbox.definitions.fleet import MAX_AGENTS, Fleet
from signalbox.definitions.shared_schemas import SharedSchemaError, inline
from signalbox.definitions.specs import AgentDefinition, FleetFile
from signalbox.definitions.yaml_file import YamlFile
from signalbox.errors import DefinitionError

FLEET_FILE: Final = "fleet.yaml"


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """A fleet as it stands in its folder. `files` has the file of every agent by its name."""

    fleet: Fleet
    head: FleetFile
    head_file: YamlFile
    files: Mapping[str, YamlFile]


def load_fleet(folder: Path) -> Fleet:
    """Load `folder/fleet.yaml` and every other `*.yaml` beside it.

    Raises:
        DefinitionError: at the first file and place that is wrong.
    """
    return open_fleet(folder).fleet


def open_fleet(folder: Path) -> FleetFolder:
    """Load a fleet together with the places of everything in it.

    Raises:
        DefinitionError: at the first file and place that is wrong.
    """
    head_file, head = _head(folder)
    paths = agent_paths(folder)
    agents: dict[str, AgentDefinition] = {}
    files: dict[str, YamlFile] = {}
    for path in paths:
        file = YamlFile.read(path)
        definition = _agent(file, head.schemas)
        if definition.name in agents:
            raise file.error(
                ("name",),
                f"agent {definition.name!r} is also declared in {files[definition.name].path}",
                "names are unique; rename one",
            )
        agents[definition.name] = definition
        files[definition.name] = file
    if not agents:
        raise head_file.error(
            (), "the fleet has no agents", "add one YAML file per agent beside it"
        )
    return FleetFolder(Fleet(head.policy_alone(), agents), head, head_file, files)


def agent_paths(folder: Path) -> list[Path]:
    """Return the files of a fleet's agents.

    Raises:
        DefinitionError: there are more than can be active together.
    """
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != FLEET_FILE)
    if len(paths) > MAX_AGENTS:
        raise DefinitionError(
            folder / FLEET_FILE,
            1,
            1,
            f"{len(paths)} agents in this folder",
            f"at most {MAX_AGENTS} are active together; give agents more duties, or run a second deployment",
        )
    return paths


def load_agent(path: Path) -> AgentDefinition:
    """Load one agent definition; schemas it shares are looked up in `fleet.yaml` beside it.

    Raises:
        DefinitionError: with the line and column of the first wrong value.
    """
    is_in_fleet = (path.parent / FLEET_FILE).is_file()
    return _agent(YamlFile.read(path), _head(path.parent)[1].schemas if is_in_fleet else {})


def problems_in(folder: Path) -> list[DefinitionError]:
    """Return what is wrong in a fleet's folder: of the fleet as a whole, and the first problem of each file."""
    found: list[DefinitionError] = []
    try:
        shared = _head(folder)[1].schemas
        paths = agent_paths(folder)
    except DefinitionError as error:
        return [error]
    for path in paths:
        try:
            _agent(YamlFile.read(path), shared)
        except DefinitionError as error:
            found.append(error)
    if not found:
        try:
            open_fleet(folder)
        except DefinitionError as error:
            found.append(error)
    return found


def _head(folder: Path) -> tuple[YamlFile, FleetFile]:
    path = folder / FLEET_FILE
    if not path.is_file():
        raise DefinitionError(
            path,
            1,
            1,
            "no fleet.yaml in this folder",
            "a fleet needs at least `name: <fleet>`",
        )
    file = YamlFile.read(path)
    return file, file.validated(FleetFile, file.plain)


def _agent(file: YamlFile, shared: Mapping[str, Any]) -> AgentDefinition:
    try:
        plain = inline(file.plain, shared)
    except SharedSchemaError as error:
        raise file.error(error.path, str(error), error.hint) from None
    return file.validated(AgentDefinition, plain)
