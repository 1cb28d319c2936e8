"""A fleet at work in a simulation: its own handlers answer the tasks that the reducer gives out, and both contracts hold."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.attempt import run_handler
from agents.handlers import handler_from
from agents.result import Reply, Retry, Terminal
from agents.task import Context, Task
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from tests.support.fleets import message, reply

DEFINITIONS = Path(__file__).parents[2] / "agent_definitions"
PATIENCE_SECONDS = 60.0


class Crew:
    """The agents of one fleet. `given` keeps every task, in order, `failed` the details of those that were given up."""

    def __init__(self, fleet: str, context: Context) -> None:
        self.fleet = load_fleet(DEFINITIONS / fleet)
        self.world = Simulation(Rulebook(Rules.compile(ActiveSet.of([self.fleet]), EnginePolicy())))
        self.given: list[Envelope] = []
        self.failed: list[str] = []
        self._context = context
        self._handlers = {name: handler_from(one) for name, one in self.fleet.agents.items()}

    def send(self, data: Mapping[str, Any], *, kind: str, conversation: str = "c-1") -> Outcome:
        """Send a message, work off all that follows, and return the outcome."""
        asked = message(f"m-{conversation}", dict(data), conversation=conversation, type=kind)
        self.world.send(asked)
        for _ in range(1000):
            tasks = [one.task for one in self.world.dispatches[len(self.given) :]]
            self.given += tasks
            if not tasks:
                break
            for task in tasks:
                self.world.send(self.handle(task))
        (outcome,) = [o for o in self.world.outcomes if o.conversation_id == conversation]
        return outcome

    def handle(self, task: Envelope) -> Envelope:
        """Handle a task as a runner would, once."""
        definition = self.fleet.agents[task.target or ""]
        assert definition.input.contract.violations(task.data) == ()
        result = asyncio.run(
            run_handler(
                self._handlers[definition.name],
                Task(task, 1),
                self._context,
                timeout_seconds=PATIENCE_SECONDS,
            )
        )
        if isinstance(result, Reply):
            assert definition.output.contract.violations(dict(result.data)) == ()
            return reply(task, result.data, kind=definition.output.type)
        assert isinstance(result, Terminal | Retry), result
        # An attempt that is to be repeated fares no better the next time: nothing here changes meanwhile.
        reason = result.reason if isinstance(result, Terminal) else "handler_failed"
        self.failed.append(f"{definition.name}: {result.detail}")
        is_permanent = isinstance(result, Terminal) and result.is_permanent
        data = {"reason": reason, "detail": result.detail, "permanent": is_permanent}
        return reply(task, data, kind="task.failed")

    def tasks_of(self, agent: str) -> list[Mapping[str, Any]]:
        """What an agent was given, in order."""
        return [task.data for task in self.given if task.target == agent]
