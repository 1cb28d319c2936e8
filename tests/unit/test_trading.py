"""The trading fleet: who hears what, what its agents answer, how a conversation ends, and what makes an agent rest."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.handlers import handler_from
from agents.task import Context, Task
from signalbox.cli.main import app
from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.contract import Contract
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet, open_fleet
from signalbox.lint.run import lint
from signalbox.routing.preview import preview
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from tests.support.fleets import message, reply

FOLDER = Path(__file__).parents[2] / "agent_definitions" / "trading"
FLEET = load_fleet(FOLDER)
RULES = Rules.compile(ActiveSet.of([FLEET]), EnginePolicy())
ROWS = [
    json.loads(line) for line in (FOLDER / "golden" / "messages.jsonl").read_text().splitlines()
]
TICK = {
    "symbol": "AAPL",
    "price": 190.5,
    "change_percent": -3.2,
    "volume": 1_700,
    "avg_volume": 1_000,
    "note": "volatility",
}
RISK = {
    "account": "A-1",
    "limit": 1_000_000,
    "exposure": 1_400_000,
    "positions": [
        {"symbol": "AAPL", "quantity": 300},
        {"symbol": "MSFT", "quantity": -50},
        {"symbol": "AAPL", "quantity": -100},
        {"symbol": "GOOGL", "quantity": 0},
    ],
}


def sent(row: dict[str, Any]) -> Envelope:
    source = f"agent/{row['sender']}" if "sender" in row else "connector/market"
    return message("m-1", row["data"], type=row["type"], priority=row["priority"], source=source)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_golden_message_is_heard_routed_and_paused_as_its_row_says(row):
    """Priority below 3, the symbols, the word volatility, volume above 1.5 times its average, halts and limits."""
    found = preview(sent(row), RULES)

    assert found.agent == row["expected"], found.reason
    assert sorted(found.subscribers) == sorted(row["subscribers"])
    assert sorted(one.agent for one in found.refusals) == sorted(row["not_heard_by"])
    assert list(found.heard.pauses) == row["pauses"]
    assert list(found.heard.resumes) == row["resumes"]


def test_eval_of_the_golden_messages_measures_where_they_are_routed() -> None:
    """Subscribers hear most of them, and none is counted as their destination: everything is right."""
    rows = FOLDER / "golden" / "messages.jsonl"
    arguments = ["eval", "--definitions", str(FOLDER), "--messages", str(rows)]

    result = CliRunner().invoke(app, [*arguments, "--fail-under", "100"])

    assert result.exit_code == 0, result.stdout


def test_golden_messages_reach_every_agent_in_every_way():
    """A set that left an agent, a pause or a resumption out would pass without proving it."""
    reached = {row["expected"] for row in ROWS} | {
        one for row in ROWS for one in row["subscribers"]
    }

    assert reached == {*FLEET.agents, NONE}
    assert any(row["pauses"] for row in ROWS)
    assert any(row["resumes"] for row in ROWS)


def test_fleet_has_no_findings():
    """The linter knows subscriptions, so a sound fleet of subscribers has nothing to mend."""
    assert [str(one) for one in lint([open_fleet(FOLDER)], lambda *_: 0.0)] == []


def test_trading_agent_carries_its_own_priority_and_concurrency():
    """Priority 3, at most five at once: of the subscription, whatever the tick said."""
    world = Simulation(Rulebook(RULES))
    world.send(message("m-1", TICK, type="market.data", priority=1))

    task = next(one.task for one in world.dispatches if one.agent == "trading_agent")
    subscribe = FLEET.agents["trading_agent"].subscribe
    assert subscribe is not None
    assert (task.priority, subscribe.priority, subscribe.max_concurrent) == (3, 3, 5)


@pytest.mark.anyio
async def test_volatile_spike_is_proposed_and_evaluated_and_the_conversation_completes(tmp_path):
    """One tick, two subscribers; the spike goes on to the evaluator by contract, the proposal is noted, all ends completed."""
    world = await played(message("m-1", TICK, type="market.data", priority=2), tmp_path)

    assert Counter(one.agent for one in world.dispatches) == {
        "trading_agent": 1,
        "volume_watch": 1,
        "evaluator": 1,
        "audit_log": 1,
    }
    assert [one.status for one in world.outcomes] == ["completed"]
    assert not world.dead_letters
    noted = next(one.task for one in world.dispatches if one.agent == "audit_log")
    assert (noted.model_extra or {})["causetype"] == "trade.proposed"


@pytest.mark.anyio
async def test_risk_limit_closes_every_position_and_pauses_the_trader(tmp_path):
    """What is held comes to zero, symbol by symbol, and the trader rests until trading resumes."""
    alert = message("m-1", RISK, type="alert.risk_limit_exceeded", priority=1)
    world = await played(alert, tmp_path)

    closer = next(one.task for one in world.dispatches if one.agent == "position_closer")
    orders = (await answered(closer, tmp_path))["orders"]
    held = Counter({"AAPL": 200, "MSFT": -50})
    for order in orders:
        held[order["symbol"]] += order["quantity"] * (1 if order["side"] == "buy" else -1)
    assert set(held.values()) == {0}
    assert world.paused == {"trading_agent": True}
    assert [one.status for one in world.outcomes] == ["completed"]

    world.send(message("m-2", {}, conversation="c-2", type="alert.market_resumed"))
    assert world.paused == {"trading_agent": False}


@pytest.mark.parametrize(
    ("change", "action", "share"),
    [(-3.2, "reduce", 32), (-9.0, "reduce", 50), (0.5, "hold", 0), (2.5, "add", 25)],
)
@pytest.mark.anyio
async def test_proposal_follows_the_change(change, action, share, tmp_path):
    """Less of what falls, more of what rises, at most half, and nothing for noise."""
    world = Simulation(Rulebook(RULES))
    tick = {**TICK, "change_percent": change, "volume": 1}
    world.send(message("m-1", tick, type="market.data", priority=1))

    answer = await answered(world.dispatches[0].task, tmp_path)

    assert (answer["action"], answer["share_percent"]) == (action, share)


async def played(first: Envelope, folder: Path) -> Simulation:
    """Send `first` and let every agent answer every task with its real handler."""
    world = Simulation(Rulebook(RULES))
    world.send(first)
    done = 0
    while done < len(world.dispatches):
        task = world.dispatches[done].task
        kind = FLEET.agents[str(task.target)].output.type
        world.send(reply(task, await answered(task, folder), kind=kind))
        done += 1
    return world


async def answered(task: Envelope, folder: Path) -> dict[str, Any]:
    """What the handler of the task's agent answers; its output contract accepts it."""
    definition = FLEET.agents[str(task.target)]
    context = Context(
        agent=definition.name,
        chat_model=None,  # type: ignore[arg-type]
        model_timeout_seconds=1,
        outbox_dir=folder,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        report_status=None,  # type: ignore[arg-type]
    )
    result = await handler_from(definition)(Task(task, 1), context)
    data = dict(result.data)  # type: ignore[union-attr]
    assert Contract(definition.output.json_schema).violations(data) == ()
    return data


@pytest.mark.anyio
async def test_every_conversation_of_the_demo_ends_as_its_file_says(tmp_path):
    """Played with the real handlers; the demo leaves nobody paused."""
    lines = (FOLDER / "demo" / "messages.jsonl").read_text().splitlines()
    for number, row in enumerate(map(json.loads, lines)):
        first = message(f"m-{number}", row["data"], type=row["type"], priority=row["priority"])
        world = await played(first, tmp_path)

        assert [one.status for one in world.outcomes] == [row["expect"]], row["name"]
        assert not world.dead_letters
        assert True not in world.paused.values()
