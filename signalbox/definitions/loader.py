"""Load definitions from YAML, with errors that point at a place: `path:line:column: what, the value, what is right`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from signalbox.definitions.fleet import MAX_AGENTS, MAX_WORKFLOWS, Fleet
from signalbox.definitions.shared_schemas import SharedSchemaError, inline
from signalbox.definitions.specs import AgentDefinition, FleetFile
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.definitions.yaml_file import YamlFile
from signalbox.errors import DefinitionError

FLEET_FILE: Final = "fleet.yaml"
WORKFLOWS_FOLDER: Final = "workflows"

D = TypeVar("D", AgentDefinition, WorkflowDefinition)
Read = Callable[[YamlFile, Mapping[str, Any]], D]


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """A fleet as it stands in its folder. `files` has the file of every agent by its name, `workflow_files` of every workflow."""

    fleet: Fleet
    head: FleetFile
    head_file: YamlFile
    files: Mapping[str, YamlFile]
    workflow_files: Mapping[str, YamlFile] = field(default_factory=dict)


def load_fleet(folder: Path) -> Fleet:
    """Load `folder/fleet.yaml`, every other `*.yaml` beside it, and the workflows in `folder/workflows`.

    Whether the workflows can run is another question: `signalbox.workflows.loading` asks it.

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
    found, files = _unique(agent_paths(folder), _agent, head.schemas, "agent")
    agents = {name: head.completed(agent) for name, agent in found.items()}
    if not agents:
        raise head_file.error(
            (), "the fleet has no agents", "add one YAML file per agent beside it"
        )
    workflows, workflow_files = _unique(workflow_paths(folder), _workflow, head.schemas, "workflow")
    fleet = Fleet(head.policy_alone(), agents, workflows)
    return FleetFolder(fleet, head, head_file, files, workflow_files)


def _unique(
    paths: Sequence[Path], read: Read[D], shared: Mapping[str, Any], kind: str
) -> tuple[dict[str, D], dict[str, YamlFile]]:
    found: dict[str, D] = {}
    files: dict[str, YamlFile] = {}
    for path in paths:
        file = YamlFile.read(path)
        definition = read(file, shared)
        name = definition.name
        if name in found:
            problem = f"{kind} {name!r} is also declared in {files[name].path}"
            raise file.error(("name",), problem, "names are unique; rename one")
        found[name] = definition
        files[name] = file
    return found, files


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


def workflow_paths(folder: Path) -> list[Path]:
    """Return the files of a fleet's workflows.

    Raises:
        DefinitionError: there are more than can be active together.
    """
    paths = sorted((folder / WORKFLOWS_FOLDER).glob("*.yaml"))
    if len(paths) > MAX_WORKFLOWS:
        problem = f"{len(paths)} workflows in this folder"
        hint = f"at most {MAX_WORKFLOWS} are active together"
        raise DefinitionError(folder / WORKFLOWS_FOLDER, 1, 1, problem, hint)
    return paths


def load_agent(path: Path) -> AgentDefinition:
    """Load one agent definition, with what `fleet.yaml` beside it says for all of the fleet.

    Raises:
        DefinitionError: with the line and column of the first wrong value.
    """
    if not (path.parent / FLEET_FILE).is_file():
        return _agent(YamlFile.read(path), {})
    head = _head(path.parent)[1]
    return head.completed(_agent(YamlFile.read(path), head.schemas))


def agent_of_text(name: str, text: str) -> AgentDefinition:
    """Load one agent definition that came as text; errors call it `<name>.yaml`. It shares no schemas.

    Raises:
        DefinitionError: with the line and column of the first wrong value.
    """
    return _agent(YamlFile.of_text(Path(f"{name}.yaml"), text), {})


def problems_in(folder: Path) -> list[DefinitionError]:
    """Return what is wrong in a fleet's folder: of the fleet as a whole, and the first problem of each file."""
    found: list[DefinitionError] = []
    try:
        shared = _head(folder)[1].schemas
        agents, workflows = agent_paths(folder), workflow_paths(folder)
    except DefinitionError as error:
        return [error]
    for path in (*agents, *workflows):
        try:
            file = YamlFile.read(path)
            _workflow(file, shared) if path in workflows else _agent(file, shared)
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
    if not folder.is_dir():
        problem = "a file, and no fleet's folder" if folder.exists() else "there is no such folder"
        hint = "give a folder with a fleet.yaml, like agent_definitions/sdr"
        raise DefinitionError(folder, 1, 1, problem, hint)
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
    return file.validated(AgentDefinition, _inlined(file, shared))


def _workflow(file: YamlFile, shared: Mapping[str, Any]) -> WorkflowDefinition:
    return file.validated(WorkflowDefinition, _inlined(file, shared))


def _inlined(file: YamlFile, shared: Mapping[str, Any]) -> Any:
    try:
        return inline(file.plain, shared)
    except SharedSchemaError as error:
        raise file.error(error.path, str(error), error.hint) from None
