"""`GET /agents` and `/agents/{name}/status`: which agents are active, and how each is doing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from connectors.registry_view import RegistryView
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.record import NAME_PATTERN, from_epoch_ms, rfc3339, to_epoch_ms
from signalbox.definitions.specs import AgentDefinition
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import NotFoundError
from signalbox.gateway.routing import Reader, answer
from signalbox.gateway.shapes import AgentList, AgentStatusView

router: Final = APIRouter(tags=["agents"])
AgentName = Annotated[str, Path(pattern=NAME_PATTERN)]
_RATED_MS: Final = 60 * 60 * 1000


@router.get("/agents", responses={200: {"model": AgentList}})
def list_agents(request: Request, caller: Reader) -> Response:
    """List the active agents, and those that were removed and still work off their tasks."""
    parts = parts_of(request)
    view = parts.definitions.view()
    beats = _living(parts)
    rows = [_row(view, name, _of(name, beats)) for name in _names(view, beats)]
    return answer({"definitions": view.state.active.digest, "agents": rows})


@router.get("/agents/{name}/status", responses={200: {"model": AgentStatusView}})
def get_agent_status(request: Request, caller: Reader, name: AgentName) -> Response:
    """Say how an agent is: its processes, what they are doing, how far behind it is, how often it fails."""
    parts = parts_of(request)
    view = parts.definitions.view()
    if name not in view.state.active.agents and name not in view.state.retired:
        raise unknown_agent(name)
    known = [(at, beat) for at, beat in parts.read_model.heartbeats() if beat.agent == name]
    living = _of(name, _living(parts))
    now_ms = to_epoch_ms(parts.now())
    recent = parts.read_model.task_counts(name, now_ms - _RATED_MS)
    track = parts.read_model.track_record(name)
    definition = view.state.active.agents.get(name)
    return answer(
        {
            **_row(view, name, living),
            "processes": [
                _process(at, beat, is_alive=beat in living)
                for at, beat in known
                if beat in living or now_ms - at < _RATED_MS
            ],
            "max_concurrent": sum(beat.max_concurrent for beat in living),
            "lag": parts.lag_of(name),
            "open_tasks": parts.read_model.task_counts(name, 0).open,
            "last_heartbeat": rfc3339(from_epoch_ms(max(at for at, _ in known))) if known else None,
            "error_rate": recent.failed / recent.answered if recent.answered else None,
            "track_record": None if track is None else track.as_json(),
            "input": None if definition is None else definition.as_json().get("input"),
            "definition": None if definition is None else definition.as_json(),
        }
    )


def unknown_agent(name: str) -> NotFoundError:
    """Return the error for a name that no agent has."""
    return NotFoundError(f"no agent {name!r} is active or was", "/agents lists them")


def instances_now(parts: Parts) -> dict[str, tuple[Heartbeat, ...]]:
    """Return the living processes of each active agent, and of removed ones that still run; in the registry's order."""
    beats = _living(parts)
    return {name: _of(name, beats) for name in _names(parts.definitions.view(), beats)}


def _names(view: RegistryView, beats: Iterable[Heartbeat]) -> list[str]:
    running = {beat.agent for beat in beats}
    return [*view.state.active.agents, *(name for name in view.state.retired if name in running)]


def _living(parts: Parts) -> tuple[Heartbeat, ...]:
    now_ms = to_epoch_ms(parts.now())
    silence = timedelta(seconds=parts.settings.routing.silent_after_seconds)
    limit = silence.total_seconds() * 1000
    return tuple(beat for at, beat in parts.read_model.heartbeats() if now_ms - at < limit)


def _of(name: str, beats: Iterable[Heartbeat]) -> tuple[Heartbeat, ...]:
    return tuple(beat for beat in beats if beat.agent == name)


def _row(view: RegistryView, name: str, living: tuple[Heartbeat, ...]) -> dict[str, Any]:
    active = view.state.active
    definition = active.agents.get(name)
    retirement = view.state.retired.get(name)
    return {
        "name": name,
        "fleet": active.fleet_of.get(name) or (retirement.fleet if retirement else ""),
        "state": "active" if definition is not None else "draining",
        "digest": definition.digest if definition else (retirement.digest if retirement else ""),
        "description": None if definition is None else definition.description,
        "accepts": [] if definition is None else accepted_by(definition),
        "answers_with": None if definition is None else definition.output.type,
        "handoffs": None
        if definition is None or definition.handoffs is None
        else list(definition.handoffs),
        "instances": len(living),
        "active_tasks": sum(beat.active for beat in living),
        "is_silent": definition is not None and not living,
    }


def accepted_by(definition: AgentDefinition) -> list[str]:
    """Return what an agent takes in a few words: the fields its contract requires, and the types that it subscribes to."""
    schema = definition.as_json().get("input", {}).get("schema", {})
    required = schema.get("required", []) if isinstance(schema, dict) else []
    fields = [f"data.{name}" for name in required if isinstance(name, str)]
    subscribed = definition.subscribe.types if definition.subscribe is not None else ()
    return [*fields, *sorted(pattern.text for pattern in subscribed or ())]


def _process(at_ms: int, beat: Heartbeat, *, is_alive: bool) -> dict[str, Any]:
    return {
        "instance": beat.instance,
        "is_alive": is_alive,
        **{
            name: getattr(beat, name)
            for name in (
                "active",
                "max_concurrent",
                "handled",
                "failed",
                "digest",
                "draining",
                "paused",
            )
        },
        "last_heartbeat": rfc3339(from_epoch_ms(at_ms)),
    }
