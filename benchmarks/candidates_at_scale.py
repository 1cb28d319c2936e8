"""What a decision costs among many agents: CPU time of the reducer's contract path, five agents beside 1,000 and the most.

No broker and no cluster: one core, one process, the very reducer that the operator calls, with the state and the records
encoded as they are for Kafka. The sizes take turns within one run, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks.figures import Result, quantile
from benchmarks.lab import taker
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import MAX_AGENTS, ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.routing.candidates import weigh
from signalbox.routing.commands import RecordDecision
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.state import Conversation
from signalbox.routing.ticks import MessageArrived, Origin

SIZES: Final = (5, 1_000, MAX_AGENTS)
AIM: Final = 1.3
ROUNDS: Final = 60
DECISIONS: Final = 50
_NOW_MS: Final = 1_700_000_000_000
_LEAD: Final = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "company_name": "Engines",
    "lead_source": "Webinar",
    "job_title": "Director",
    "project_description": "We move events between machines. " * 8,
}
_KINDS: Final[Mapping[str, tuple[Callable[[int], AgentDefinition], dict[str, Any]]]] = {
    "told apart by a key": (
        lambda number: _taker(number, {"required": ["lead", f"order_{number}"]}),
        {"lead": _LEAD, "order_3": {}},
    ),
    "told apart by a constant": (
        lambda number: _taker(
            number, {"required": ["lead", "kind"], "properties": {"kind": {"const": f"k{number}"}}}
        ),
        {"lead": _LEAD, "kind": "k3"},
    ),
    "nobody takes it": (
        lambda number: _taker(number, {"required": ["lead", f"order_{number}"]}),
        {"lead": _LEAD},
    ),
}


def measure() -> Result:
    """Each way to tell agents apart: a whole decision, the weighing alone, the record's size; then activation."""
    result = Result(
        "A decision among many agents, contract path",
        notes="CPU time a decision, state and records encoded; the median of 60 rounds of 50, sizes taking turns.",
    )
    for kind, (define, data) in _KINDS.items():
        books = {size: Rulebook(_rules(define, size)) for size in SIZES}
        steps = {size: _decision(book, data) for size, book in books.items()}
        micros = _micros(steps)
        result.add(f"{kind}: among 5", micros[5], "µs")
        for size in SIZES[1:]:
            result.add(f"{kind}: among {size} ÷ among 5", micros[size] / micros[5], "×", AIM)
        weighed = _micros({size: _weighing(book, data) for size, book in books.items()})
        result.add(f"{kind}: weighing alone, 1000 ÷ 5", weighed[1_000] / weighed[5], "×")
        result.add(f"{kind}: record among 1000", steps[1_000](), "bytes")
    _activation(result)
    return result


def _taker(number: int, schema: dict[str, Any]) -> AgentDefinition:
    parts = {"description": "Anything.", "schema": {"type": "object", **schema}}
    return taker(f"agent_{number:05}", "unused", input=parts)


def _rules(define: Callable[[int], AgentDefinition], size: int) -> Rules:
    agents = [define(number) for number in range(size)]
    fleet = Fleet(FleetPolicy(name="bench"), {one.name: one for one in agents})
    return Rules.compile(ActiveSet.of([fleet]), EnginePolicy())


def _decision(book: Rulebook, data: dict[str, Any]) -> Callable[[], float]:
    message = Envelope(
        id="m-1",
        source="cli",
        type="lead.submitted",
        time=from_epoch_ms(_NOW_MS),
        subject="c-1",
        data=data,
    )
    tick = MessageArrived(message, Origin("agent_messages"))

    def decide() -> float:
        state, commands = reduce(Conversation("c-1"), tick, _NOW_MS, book)
        state.encode()
        (record,) = (one.decision for one in commands if isinstance(one, RecordDecision))
        return float(len(record.to_json()))

    return decide


def _weighing(book: Rulebook, data: dict[str, Any]) -> Callable[[], float]:
    rules = book.current
    assert rules is not None
    return lambda: float(len(weigh(data, rules, None).listed()))


def _micros(steps: Mapping[int, Callable[[], float]]) -> dict[int, float]:
    """Return CPU µs a call, by size: the median of rounds in which the sizes take turns."""
    spent: dict[int, list[float]] = {size: [] for size in steps}
    for _ in range(ROUNDS):
        for size, step in steps.items():
            started = time.process_time()
            for _ in range(DECISIONS):
                step()
            spent[size].append((time.process_time() - started) / DECISIONS * 1e6)
    return {size: quantile(values, 0.5) for size, values in spent.items()}


def _activation(result: Result) -> None:
    """From definitions as they are on the registry to rules that decide; the second time they are known."""
    define = _KINDS["told apart by a key"][0]
    agents: Sequence[AgentDefinition] = [define(number) for number in range(SIZES[-1])]
    active = ActiveSet.of([Fleet(FleetPolicy(name="bench"), {one.name: one for one in agents})])
    records, manifest = active.records(from_epoch_ms(_NOW_MS))
    by_key = {record.key: record for record in records}
    result.add(f"manifest of {SIZES[-1]} agents", len(manifest.to_json()), "bytes")
    started = time.process_time()
    read = ActiveSet.from_records(manifest, by_key)
    assert read is not None
    Rules.compile(read, EnginePolicy())
    result.add(
        f"{SIZES[-1]} agents made ready, schemas seen before", time.process_time() - started, "s"
    )
