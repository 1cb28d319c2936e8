"""`POST /agents/{name}/register`: a definition into the running system, as `signalbox agents apply` brings one in."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from agents.handlers import python_handler
from connectors.registry import Change, change_registry
from signalbox.cli.change_told import changed_agents, handoff_warnings
from signalbox.contracts.record import NAME_PATTERN
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import agent_of_text
from signalbox.definitions.registry_state import RegistryState
from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.yaml_file import MAX_FILE_BYTES
from signalbox.errors import ConfigurationError
from signalbox.gateway.agents import AgentName
from signalbox.gateway.body import read_body
from signalbox.gateway.intake import object_in
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import ConflictError, RequestError
from signalbox.gateway.routing import Definer, answer
from signalbox.gateway.shapes import Registered
from signalbox.workflows.check import problems_of

router: Final = APIRouter(tags=["agents"])
_FleetName = Annotated[
    str | None,
    Query(
        pattern=NAME_PATTERN,
        description="Needed for a new agent where more than one fleet is active.",
    ),
]
_Elsewhere = Annotated[
    bool, Query(description="The handler's code is only where agents run; do not look for it here.")
]


@router.post("/agents/{name}/register", responses={200: {"model": Registered}})
async def register_agent(
    request: Request,
    caller: Definer,
    name: AgentName,
    fleet: _FleetName = None,
    code_elsewhere: _Elsewhere = False,
) -> Response:
    """Make a definition (YAML, or JSON) active: a new agent, or another version of one. Its topic is made first."""
    parts = parts_of(request)
    body = await read_body(request, MAX_FILE_BYTES, taken="yaml")
    is_json = "yaml" not in request.headers.get("content-type", "").lower()
    return answer(
        await asyncio.to_thread(
            _registered, parts, name, _text(body, is_json=is_json), fleet, not code_elsewhere
        )
    )


def _text(body: bytes, *, is_json: bool) -> str:
    if is_json:
        # Written anew, a key a line: an error's place is then one that can be found.
        return orjson.dumps(object_in(body), option=orjson.OPT_INDENT_2).decode()
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"byte {error.start} is not UTF-8"
        raise RequestError(msg, "send the definition in UTF-8") from None


def _registered(
    parts: Parts, name: str, text: str, fleet: str | None, looks_for_code: bool
) -> dict[str, Any]:
    definition = agent_of_text(name, text)
    if definition.name != name:
        msg = f"the definition's name is {definition.name!r}, the path says {name!r}"
        raise RequestError(msg, "say the same in both")
    if looks_for_code:
        _look_for_code(definition)
    owner = ""

    def applied(state: RegistryState) -> RegistryState:
        nonlocal owner
        owner = _fleet_of(state.active, name, fleet)
        active = _with_agent(state.active, owner, definition)
        return state.activated(active, removed_at=parts.now())

    def prepare(_: Change) -> None:
        parts.make_task_topic(name)

    change = change_registry(
        parts.broker,
        applied,
        topic_prefix=parts.settings.kafka.topic_prefix,
        applied_at=parts.now(),
        prepare=prepare,
    )
    return _told(change, name, owner)


def _with_agent(active: ActiveSet, fleet: str, definition: AgentDefinition) -> ActiveSet:
    try:
        after = active.with_fleet(Fleet(active.policies[fleet], {definition.name: definition}))
    except ValueError as error:
        raise ConflictError(str(error), "choose another name, or the fleet that has it") from None
    for workflow in after.workflows.values():
        known = {(one.loc, one.what) for one in problems_of(workflow, active.agents)}
        for problem in problems_of(workflow, after.agents):
            if (problem.loc, problem.what) not in known:
                msg = f"workflow {workflow.name!r} would no longer fit: {problem.what}"
                raise ConflictError(msg, problem.hint or "mend the definition or the workflow")
    return after


def _fleet_of(active: ActiveSet, name: str, given: str | None) -> str:
    owner = active.fleet_of.get(name)
    if given is None:
        if owner is not None:
            return owner
        if len(active.policies) == 1:
            return next(iter(active.policies))
    elif given in active.policies:
        return given
    there = ", ".join(active.policies) or "none"
    said = "no fleet is said" if given is None else f"fleet {given!r} is not active"
    msg = f"{said}; active are: {there}"
    raise RequestError(
        msg, "say ?fleet=NAME; `signalbox agents apply DIR` brings a fleet in, with its policy"
    )


def _look_for_code(definition: AgentDefinition) -> None:
    handler = definition.handler
    reference = handler.prompt.embedded if handler.prompt is not None else handler.python
    if reference is None:
        return
    try:
        python_handler(reference)
    except ConfigurationError as error:
        remedy = (
            "mend it, or say ?code_elsewhere=true where only the agents' machines have the code"
        )
        raise RequestError(str(error), remedy) from None


def _told(change: Change, name: str, fleet: str) -> dict[str, Any]:
    active = change.after.active
    return {
        "name": name,
        "fleet": fleet,
        "digest": active.agents[name].digest,
        "definitions": active.digest,
        **changed_agents(change),
        "warnings": handoff_warnings(change),
    }
