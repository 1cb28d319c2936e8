"""Work of the fault runs played by the reducer and the fleet's own handlers: the history that the topics would hold."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agents.handlers import handler_from
from agents.result import Terminal
from agents.task import Task
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.contracts.ids import reply_id
from signalbox.contracts.record import Record
from signalbox.definitions.fleet import Fleet
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from tests.faults.fleet import fault_fleet_and
from tests.faults.history import Stored
from tests.faults.verdict import Sent
from tests.faults.work import Work
from tests.support.fleets import reply
from tests.support.tasks import context_of


class Played:
    """A run from its messages to its outcomes; the records are where topics would hold them."""

    def __init__(self, work: Work, fleet: Fleet, outbox: Path) -> None:
        self.work = work
        self.outbox = outbox
        self.sent: list[Sent] = []
        self.records: list[Stored] = []
        self._fleet = fleet
        self._world = Simulation(Rulebook(Rules.compile(fault_fleet_and(fleet), EnginePolicy())))
        for number, one in enumerate(work.outgoing()):
            self.sent.append(Sent(one.id, one.conversation, ("agent_messages", 0, number)))
            self._send(Envelope.from_json(one.value or b""))
        asyncio.run(self._work())
        for outcome in self._world.outcomes:
            self._store("agent_outcomes", outcome)
        for decision in self._world.decisions:
            self._store("agent_decisions", decision)

    async def _work(self) -> None:
        context, done = context_of(self.outbox), 0
        agents = self._fleet.agents
        handlers: dict[str, Any] = {name: handler_from(one) for name, one in agents.items()}
        while len(self._world.outcomes) < len(self.work.placed):
            if done == len(self._world.dispatches):
                self._world.pass_time(1)
                continue
            task = self._world.dispatches[done].task
            done += 1
            agent = task.target or ""
            self._store(f"agent_tasks_{agent}", task)
            result = await handlers[agent](Task(task, 1), context)
            if isinstance(result, Terminal):
                data, kind = (
                    {"detail": result.detail, "permanent": result.is_permanent},
                    TASK_FAILED,
                )
            else:
                data, kind = dict(result.data), agents[agent].output.type
            self._send(reply(task, data, kind=kind, id=reply_id(task.id, 0)))

    def _send(self, message: Envelope) -> None:
        self._store("agent_messages", message)
        self._world.send(message)

    def _store(self, topic: str, record: Record) -> None:
        self.records.append(Stored(topic, 0, len(self.records), record.to_json()))
