"""What workflows cost: ticks of the reducer a second on one core, and the bytes of state that a run holds while it is open.

No broker and no cluster: the shipped fleet's order, through the very reducer that the operator calls. State is decoded before
each message and encoded after it, results and records are encoded as they are for Flink and Kafka.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from benchmarks.figures import Result, quantile
from benchmarks.lab import ROOT
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.contracts.ids import reply_id
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import load_fleet
from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing import commands as c
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.state import Conversation
from signalbox.routing.ticks import MessageArrived, Origin, Recalled, Tick

RUNS: Final = 300
ROUNDS: Final = 5
TICKS_A_SECOND: Final = 5_000.0
STATE_BYTES: Final = 10_000.0
WIDE_STEPS: Final = 50
PLANNED_TASKS: Final = 12
_NOW_MS: Final = 1_700_000_000_000
_ORIGIN: Final = Origin("agent_messages")
_ORDER: Final = {
    "product_id": "teapot",
    "quantity": 2,
    "amount": 3998,
    "payment_method": "card",
    "shipping_address": "1 Example Street, Exampleton",
}


def measure() -> Result:
    """Orders that succeed and orders that are taken back, ticks a second; then the state of small and wide runs."""
    result = Result(
        "Workflows in the reducer",
        notes=f"CPU time of one core; the median of {ROUNDS} rounds of {RUNS} orders of the shipped fleet. In a tick's time are "
        "the state decoded and encoded, results and records written as JSON, and the answers made; `reduce` alone is beside it.",
    )
    fleet = load_fleet(ROOT / "agent_definitions" / "orders")
    book = _rulebook(fleet)
    for name, failing in (("orders that succeed", ""), ("orders taken back", "shipping")):
        rate, alone, largest = _rate(book, failing)
        result.add(f"{name}: ticks", rate, "/s", TICKS_A_SECOND, at_least=True)
        result.add(f"{name}: ticks, `reduce` alone", alone, "/s")
        result.add(f"{name}: largest state of a run", largest, "bytes", STATE_BYTES)
    rate, _, largest = _rate(_rulebook(_planning(fleet)), "")
    name = f"a plan of {PLANNED_TASKS} tasks at once"
    result.add(f"{name}: ticks", rate, "/s")
    result.add(f"{name}: largest state of a run", largest, "bytes", STATE_BYTES)
    wide = _Run(_rulebook(_wide(fleet)), "o-wide")
    wide.through("")
    result.add(f"{WIDE_STEPS} steps at once: largest state", wide.largest, "bytes", STATE_BYTES)
    return result


def _rate(book: Rulebook, failing: str) -> tuple[float, float, int]:
    """Return ticks a second of CPU time, whole and in `reduce` alone, medians of all rounds; and the largest state's bytes."""
    rates, alone, largest = [], [], 0
    for number in range(ROUNDS):
        started = time.process_time()
        worlds = [_Run(book, f"o-{number}-{one}") for one in range(RUNS)]
        ticks = 0
        for world in worlds:
            ticks += world.through(failing)
            largest = max(largest, world.largest)
        rates.append(ticks / (time.process_time() - started))
        alone.append(ticks / sum(world.reducing_seconds for world in worlds))
    return quantile(rates, 0.5), quantile(alone, 0.5), largest


class _Run:
    """One conversation: messages in, its tasks answered at once."""

    def __init__(self, book: Rulebook, order: str) -> None:
        self._book = book
        self._order = order
        self._blob = Conversation(order).encode()
        self._results: dict[int, bytes] = {}
        self._tasks: deque[Envelope] = deque()
        self.largest = 0
        self.reducing_seconds = 0.0

    def through(self, failing: str) -> int:
        """Run the order to its outcome; `failing` never does its step. Returns how many ticks it took."""
        data = {"order_id": self._order, **_ORDER}
        ticks = self._take(self._message("order.placed", "cli", data))
        while self._tasks:
            task = self._tasks.popleft()
            kind = (
                TASK_FAILED
                if task.target == failing and task.data["action"] == "ship"
                else "x.done"
            )
            answer = _ANSWERS.get(task.target or "", {"ok": True})
            ticks += self._take(self._message(kind, f"agent/{task.target}", answer, task))
        return ticks

    def _message(
        self, kind: str, source: str, data: dict[str, Any], task: Envelope | None = None
    ) -> Envelope:
        return Envelope(
            id=f"m-{self._order}" if task is None else reply_id(task.id, 0),
            source=source,
            type=kind,
            time=from_epoch_ms(_NOW_MS),
            subject=self._order,
            causationid=None if task is None else task.id,
            data=data,
        )

    def _take(self, message: Envelope) -> int:
        state = Conversation.decode(self._blob)
        ticks: deque[Tick] = deque([MessageArrived(message, _ORIGIN)])
        taken = 0
        while ticks:
            started = time.process_time()
            state, commands = reduce(state, ticks.popleft(), _NOW_MS, self._book)
            self.reducing_seconds += time.process_time() - started
            taken += 1
            for command in commands:
                recalled = self._carry_out(command)
                if recalled is not None:
                    ticks.append(recalled)
        self._blob = state.encode()
        self.largest = max(self.largest, len(self._blob))
        return taken

    def _carry_out(self, command: c.Command) -> Tick | None:
        match command:
            case c.Dispatch(_, task):
                task.to_json()
                self._tasks.append(task)
            case c.RecordDecision(decision):
                decision.to_json()
            case c.EmitOutcome(outcome):
                outcome.to_json()
            case c.StoreResult(sequence, message):
                self._results[sequence] = message.to_json()
            case c.Recall(sequences):
                return Recalled({one: Envelope.from_json(self._results[one]) for one in sequences})
        return None


_ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "inventory": {"available": True, "reserved_quantity": 2},
    "payment": {"transaction_id": "pay-1", "status": "charged"},
    "shipping": {"tracking_number": "parcel-1", "estimated_delivery": "2026-01-18"},
    "planner": {
        "tasks": [
            {"id": f"t{number}", "agent": "anyone", "description": "Find out what that costs."}
            for number in range(PLANNED_TASKS)
        ]
    },
}


def _rulebook(fleet: Fleet) -> Rulebook:
    return Rulebook(Rules.compile(ActiveSet.of([fleet]), EnginePolicy()))


def _wide(fleet: Fleet) -> Fleet:
    """The fleet with a workflow of many steps that all may run at once, by one agent that takes anything."""
    steps = [
        {"id": f"step_{number}", "agent": "anyone", "compensate": "none"}
        for number in range(WIDE_STEPS)
    ]
    return _with(fleet, ("anyone",), {"steps": steps, "result": None})


def _planning(fleet: Fleet) -> Fleet:
    """The fleet with a workflow whose first step plans, and whose last one is given what the tasks answered."""
    steps = [
        {
            "id": "plan",
            "agent": "planner",
            "plan": {"agents": ["anyone"], "input": {"order_id": "{{ data.order_id }}"}},
        },
        {
            "id": "answer",
            "agent": "anyone",
            "needs": ["plan"],
            "input": {"all": {"$tasks": "plan"}},
        },
    ]
    return _with(
        fleet, ("planner", "anyone"), {"steps": steps, "result": None, "on_failure": "fail"}
    )


def _with(fleet: Fleet, names: tuple[str, ...], changes: dict[str, Any]) -> Fleet:
    """The fleet with these agents, who take anything, and its workflow changed."""
    order = fleet.workflows["fulfil_order"]
    agents = {
        name: AgentDefinition.model_validate(
            {
                **fleet.agents["shipping"].as_json(),
                "name": name,
                "input": {"description": "Anything.", "schema": {"type": "object"}},
            }
        )
        for name in names
    }
    changed = WorkflowDefinition.model_validate({**order.as_json(), **changes})
    policy = fleet.policy.model_copy(
        update={"budgets": fleet.policy.budgets.model_copy(update={"hops": 1000})}
    )
    return Fleet(policy, agents, {changed.name: changed})
