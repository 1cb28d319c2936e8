"""The agents: how each is and what it takes, who hands off to whom; one of them with its processes and its definition."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any, Final

from fastapi import APIRouter, Request
from ruamel.yaml import YAML
from starlette.responses import Response

from signalbox.gateway.agents import AgentName, list_json, status_json
from signalbox.gateway.pages.flow import flow_of
from signalbox.gateway.pages.site import PREFIX, is_part, render
from signalbox.gateway.parts import parts_of
from signalbox.gateway.readmodel.queries import RECENT_TASKS
from signalbox.gateway.routing import Reader

router: Final = APIRouter(prefix=f"{PREFIX}/agents", include_in_schema=False)


@router.get("")
def get_agents(request: Request, caller: Reader) -> Response:
    """List the agents, and draw who hands off to whom."""
    model = parts_of(request).read_model
    rows = list_json(parts_of(request))["agents"]
    waiting = model.open_tasks(0)
    declared = {(row["name"], one) for row in rows for one in row["handoffs"] or ()}
    return render(
        request,
        "agents_rows" if is_part(request) else "agents",
        rows=[
            {
                **row,
                "health": _health(row),
                "track": model.recent_record(row["name"]),
                "open_tasks": waiting.get(row["name"], 0),
            }
            for row in rows
        ],
        flow=flow_of([row["name"] for row in rows], declared, model.handoffs()),
        recent=RECENT_TASKS,
    )


@router.get("/{name}")
def get_agent(request: Request, caller: Reader, name: AgentName) -> Response:
    """Show one agent; how it is now, as a part of the page."""
    parts = parts_of(request)
    model = parts.read_model
    status = status_json(parts, name, model.recent_record)
    handoffs = model.handoffs()
    return render(
        request,
        "agent_status" if is_part(request) else "agent",
        one={**status, "health": _health(status)},
        gives={to: number for (sender, to), number in handoffs.items() if sender == name},
        gets={sender: number for (sender, to), number in handoffs.items() if to == name},
        definition=_yaml(status["definition"]),
        recent=RECENT_TASKS,
    )


def _health(row: Mapping[str, Any]) -> str:
    if row["state"] == "draining":
        return "draining"
    if row["is_silent"]:
        return "silent"
    return "paused" if row["is_paused"] else "active"


def _yaml(definition: Mapping[str, Any] | None) -> str | None:
    if definition is None:
        return None
    writer = YAML()
    writer.width = 100
    text = StringIO()
    writer.dump(definition, text)
    return text.getvalue()
