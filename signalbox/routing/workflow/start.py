"""Which message starts a workflow, and the beginning of its run."""

from __future__ import annotations

from signalbox.contracts.envelope import Envelope
from signalbox.routing.commands import StoreResult
from signalbox.routing.rules import Rules
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.clock import renew_time
from signalbox.routing.workflow.plan import Plan
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.run import WorkflowRun


def starting(message: Envelope, rules: Rules) -> CompiledWorkflow | None:
    """Return the workflow that `message`, which comes from outside and names no target, starts; the first by name."""
    for workflow in rules.started_by(message.type):
        if workflow.definition.input.contract.accepts(message.data):
            return workflow
    return None


def why_not_started(message: Envelope, rules: Rules) -> str:
    """Say why no workflow that begins with this type takes the data; empty where none begins with it."""
    return "".join(
        f"; workflow {workflow.definition.name} does not take it: {', '.join(violations[:2])}"
        for workflow in rules.started_by(message.type)
        if (violations := workflow.definition.input.contract.violations(message.data))
    )


def start(turn: Turn, message: Envelope, workflow: CompiledWorkflow, sequence: int | None) -> None:
    """Begin a run with `message`; `sequence` is its number in `pending` where it waited for its turn."""
    rules = turn.rulebook.current
    definition = workflow.definition
    running = turn.state.workflow
    turn.release(sequence)
    if rules is None or running is not None:
        name = "" if running is None else running.name
        where = "in another conversation, or after its outcome"
        detail = f"workflow {name} runs in this one already; start {definition.name} {where}"
        turn.dead_letter(message, "overloaded", detail)
        return
    number = turn.state.next_sequence
    turn.emit(StoreResult(number, message))
    turn.at_hand[number] = message
    fleet = turn.state.fleet or workflow.fleet
    turn.evolve(
        next_sequence=number + 1,
        fleet=fleet,
        workflow=WorkflowRun(definition.name, rules.digest, message.id, number),
    )
    renew_time(turn, Plan(workflow, rules))
