"""Small workflows for tests, and agents that answer as a test says; one step is a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.contracts.ids import reply_id
from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing.commands import Dispatch
from signalbox.routing.rules import EnginePolicy, Rulebook
from signalbox.routing.simulation import Simulation
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.run import WorkflowRun
from tests.support.fleets import agent, message, reply, rulebook

NAMES = ("ann", "bob", "cyd", "undo", "judge")


def step(step_id: str, *needs: str, by: str = "ann", **more: Any) -> dict[str, Any]:
    """One step; `undo=True` has it undone by the agent `undo`."""
    if more.pop("undo", False):
        more["compensate"] = {"agent": "undo", "input": {"undo": step_id}}
    return {"id": step_id, "agent": by, "needs": list(needs), "compensate": "none", **more}


def workflow(*steps: Mapping[str, Any], **more: Any) -> WorkflowDefinition:
    """A workflow `work` that a message of type `work.asked` starts."""
    return WorkflowDefinition.model_validate(
        {
            "name": "work",
            "description": "Does some work.",
            "starts_on": ["work.asked"],
            "input": {
                "description": "An amount.",
                "schema": {"type": "object", "required": ["n"]},
            },
            "steps": steps,
            **more,
        }
    )


def rules_with(
    *definitions: WorkflowDefinition,
    agents: tuple[AgentDefinition, ...] | None = None,
    policy: Mapping[str, Any] | None = None,
    engine: EnginePolicy | None = None,
) -> Rulebook:
    """A rulebook of `NAMES`, who take anything, and these workflows."""
    staff = agents or tuple(agent(name, [], closed=False) for name in NAMES)
    book = rulebook(*staff, policy=policy, engine=engine)
    assert book.current is not None
    compiled = {one.name: CompiledWorkflow.compile(one, "test") for one in definitions}
    digest = f"{book.current.digest}-{'-'.join(one.digest for one in definitions)}"
    return Rulebook(replace(book.current, workflows=compiled, digest=digest))


class Work:
    """One conversation with a workflow, in a simulation."""

    def __init__(self, *steps: Mapping[str, Any], book: Rulebook | None = None, **more: Any):
        policy = more.pop("policy", None)
        self.world = Simulation(book or rules_with(workflow(*steps, **more), policy=policy))

    def start(self, data: Mapping[str, Any] | None = None, **more: Any) -> Envelope:
        """Send what starts it."""
        asked = message(more.pop("id", "m-1"), data or {"n": 1}, type="work.asked", **more)
        self.world.send(asked)
        return asked

    @property
    def run(self) -> WorkflowRun:
        """How far it is."""
        run = self.world.state_of("c-1").workflow
        assert run is not None
        return run

    def slots(self) -> list[str]:
        """The slots of all tasks so far, in order."""
        by_id = {one.slot: one for one in self.world.decisions if one.agent != "NONE"}
        return [slot for slot, one in by_id.items() if one.path == "workflow"]

    def task(self, number: int = -1) -> Envelope:
        """A task that was given out."""
        return self.world.dispatches[number].task

    def answer(self, data: Mapping[str, Any] | None = None, number: int = -1, **more: Any) -> None:
        """Let the agent of a task answer it."""
        self.world.send(reply(self.task(number), data or {"ok": True}, **more))

    def fail(self, number: int = -1, detail: str = "no", **more: Any) -> None:
        """Let the agent of a task give up."""
        self.answer({"detail": detail, **more}, number, kind=TASK_FAILED)

    def decide(self, decision: str, *, review: int = -1, **more: Any) -> None:
        """Let a person answer an approval."""
        token = more.pop("token", None) or self.world.reviews[review].token
        number = len(self.world.counts) + len(self.world.dead_letters) + len(self.world.decisions)
        data = {"token": token, "decision": decision, "resolved_by": "ada", **more}
        self.world.send(message(f"decision-{number}", data, type="review.resolved"))

    def cancel(self, number: int = 1, **data: Any) -> None:
        """Let somebody outside cancel the run."""
        self.world.send(message(f"cancel-{number}", data, type="workflow.cancel"))

    def given(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Agent and data of every task, in order."""
        return [(one.agent, one.task.data) for one in self.world.dispatches]


def answer_of(dispatch: Dispatch, data: Mapping[str, Any], *, kind: str = "") -> Envelope:
    """What the agent of `dispatch` answers."""
    return reply(dispatch.task, data, kind=kind, id=reply_id(dispatch.task.id, 0))
