"""Small definitions for tests: a chain of agents whose contracts are told apart by one field each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules


def agent(
    name: str,
    requires: Sequence[str],
    *,
    answers: str | None = None,
    handoffs: Sequence[str] | None = None,
    closed: bool = True,
    **more: Any,
) -> AgentDefinition:
    """An agent that takes exactly the fields `requires` (at least them with `closed=False`)."""
    return AgentDefinition.model_validate(
        {
            "name": name,
            "description": more.pop("description", f"Does the work of {name}."),
            "input": {
                "description": f"What {name} needs.",
                "schema": {
                    "type": "object",
                    "required": list(requires),
                    "properties": {field: {} for field in requires},
                    "additionalProperties": not closed,
                },
            },
            "output": {
                "type": answers or f"{name}.done",
                "description": f"What {name} made.",
                "schema": {"type": "object"},
            },
            "handler": {"python": "agents.sdr.none:none"},
            "handoffs": handoffs,
            **more,
        }
    )


def rulebook(
    *agents: AgentDefinition,
    policy: Mapping[str, Any] | None = None,
    engine: EnginePolicy | None = None,
) -> Rulebook:
    """A rulebook whose only version is a fleet `test` of `agents`."""
    fleet = Fleet(
        FleetPolicy.model_validate({"name": "test", **(policy or {})}),
        {definition.name: definition for definition in agents},
    )
    return Rulebook(Rules.compile(ActiveSet.of([fleet]), engine or EnginePolicy()))


def message(
    message_id: str,
    data: Mapping[str, Any],
    *,
    conversation: str = "c-1",
    **more: Any,
) -> Envelope:
    """A message from outside, of type `lead.submitted` unless told otherwise."""
    return Envelope.model_validate(
        {
            "id": message_id,
            "source": "cli",
            "type": "lead.submitted",
            "time": datetime(2026, 1, 1, tzinfo=UTC),
            "subject": conversation,
            "data": dict(data),
            **more,
        }
    )


def reply(task: Envelope, data: Mapping[str, Any], *, kind: str = "", **more: Any) -> Envelope:
    """What the agent of `task` answers, as its runner would write it."""
    from signalbox.contracts.ids import reply_id

    return Envelope.model_validate(
        {
            "id": more.pop("id", reply_id(task.id, 0)),
            "source": f"agent/{task.target}",
            "type": kind or f"{task.target}.done",
            "time": datetime(2026, 1, 1, tzinfo=UTC),
            "subject": task.subject,
            "correlationid": task.correlationid,
            "causationid": task.id,
            "data": dict(data),
            **more,
        }
    )
