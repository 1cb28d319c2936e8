"""A whole fleet in one YAML file: a list `agents:` beside what `fleet.yaml` may say. For evaluating, before anything runs.

An agent's `input` and `output` may be plain text there: it then takes any message with a `text`. A handler is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from signalbox.contracts.record import Name
from signalbox.definitions import loader
from signalbox.definitions.fleet import MAX_AGENTS, Fleet
from signalbox.definitions.shared_schemas import SharedSchemaError, inline
from signalbox.definitions.specs import (
    AgentDefinition,
    Calibration,
    ContractSpec,
    FleetFile,
    HandlerSpec,
    OutputSpec,
)
from signalbox.definitions.yaml_file import YamlFile
from signalbox.errors import DefinitionError

MAX_LIST_BYTES: Final = 16 * 1024 * 1024
_TAKES_TEXT: Final = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string"}},
}
_ANYTHING: Any = "Free text."
_NO_HANDLER: Final = HandlerSpec(python="evaluation.only:never_called")


def _input_of(value: object) -> object:
    value = _ANYTHING if value is None else value
    return {"description": value, "schema": _TAKES_TEXT} if isinstance(value, str) else value


def _output_of(value: object) -> object:
    value = _ANYTHING if value is None else value
    if not isinstance(value, str):
        return value
    return {"type": "text.answered", "description": value, "schema": {"type": "object"}}


class ListedAgent(AgentDefinition):
    """An agent of the list: `input` and `output` may be plain text or absent, and so may the handler."""

    input: Annotated[ContractSpec, BeforeValidator(_input_of)] = Field(
        _ANYTHING, validate_default=True
    )
    output: Annotated[OutputSpec, BeforeValidator(_output_of)] = Field(
        _ANYTHING, validate_default=True
    )
    handler: HandlerSpec = _NO_HANDLER


class AgentList(FleetFile):
    """The file: the list, and optionally the policy's own fields (`policy`, `calibration`, `schemas` …)."""

    name: Name = "agents"
    agents: tuple[ListedAgent, ...] = Field(min_length=1)


def load_definitions(path: Path) -> Fleet:
    """Load a fleet from its folder, or from one YAML file with a list `agents:`.

    Raises:
        DefinitionError: at the first file and place that is wrong.
    """
    if path.is_dir():
        return loader.load_fleet(path)
    if path.name == loader.FLEET_FILE:
        hint = f"give its folder, {path.parent}"
        raise DefinitionError(path, 1, 1, "this is a fleet's policy, not its agents", hint)
    return _load_list(path)


def load_calibration(path: Path) -> Calibration:
    """Load a calibration by itself, as `eval --fit --calibration FILE` writes it.

    Raises:
        DefinitionError: with the place of the first wrong value.
    """
    file = YamlFile.read(path)
    return file.validated(Calibration, file.plain)


def _load_list(path: Path) -> Fleet:
    file = YamlFile.read(path, MAX_LIST_BYTES)
    listed_plain = file.plain.get("agents")
    if not isinstance(listed_plain, list) or not listed_plain:
        hint = "give a fleet's folder, or a file in which `agents:` lists at least one"
        raise DefinitionError(path, 1, 1, "no list `agents:` in this file", hint)
    if len(listed_plain) > MAX_AGENTS:
        problem = (
            f"{len(listed_plain)} agents in this list; at most {MAX_AGENTS} are active together"
        )
        hint = "give agents more duties, or evaluate parts of them"
        raise file.error(("agents", MAX_AGENTS), problem, hint)
    shared = file.plain.get("schemas")
    try:
        agents = inline(listed_plain, shared if isinstance(shared, dict) else {})
    except SharedSchemaError as error:
        raise file.error(("agents", *error.path), str(error), error.hint) from None
    listed = file.validated(AgentList, {**file.plain, "agents": agents})
    first: dict[str, int] = {}
    for number, agent in enumerate(listed.agents):
        if agent.name in first:
            other = file.place("agents", first[agent.name], "name")[0]
            problem = f"agent {agent.name!r} is also declared on line {other}"
            raise file.error(("agents", number, "name"), problem, "names are unique")
        first[agent.name] = number
    head = FleetFile.model_validate(listed.model_dump(exclude={"agents"}, by_alias=True))
    return Fleet(
        head.policy_alone(), {agent.name: head.completed(agent) for agent in listed.agents}
    )
