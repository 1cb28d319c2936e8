"""A small workflow for tests: an order is reserved, charged and shipped."""

from __future__ import annotations

from typing import Any

from signalbox.definitions.workflow import WorkflowDefinition


def workflow(name: str = "orders", **more: Any) -> WorkflowDefinition:
    """Two steps one after the other, by agents `reserve` and `charge`."""
    return WorkflowDefinition.model_validate(
        {
            "name": name,
            "description": f"Does {name}.",
            "starts_on": ["order.placed"],
            "input": {"description": "An order.", "schema": {"type": "object"}},
            "steps": [
                {"id": "reserve", "agent": "reserve", "compensate": "none"},
                {
                    "id": "charge",
                    "agent": "charge",
                    "needs": ["reserve"],
                    "input": {"amount": "{{ data.amount }}", "nothing": None},
                },
            ],
            **more,
        }
    )
