"""What-if replay of the sdr demo: its own leads and replies, its own handlers and the embedded model, on an in-memory broker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from agents.handlers import handler_from
from agents.result import Reply
from agents.task import Context, Task
from connectors.embedded_model import EmbeddedChatModel
from connectors.replay_run import ModelCaller
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import load_fleet
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.rules import EnginePolicy
from tests.support.fleets import message
from tests.support.recorded_run import RecordedRun
from tests.support.replays import replayed

SDR = Path(__file__).resolve().parents[2] / "agent_definitions" / "sdr"
FLEET = load_fleet(SDR)
ACTIVE = ActiveSet.of([FLEET])


def with_agents(**changed: AgentDefinition | None) -> ActiveSet:
    """The fleet with other definitions; None takes one out."""
    agents = {**FLEET.agents, **changed}
    return ActiveSet.of([Fleet(FLEET.policy, {n: a for n, a in agents.items() if a is not None})])


async def _played(run: RecordedRun, home: Path) -> None:
    model = EmbeddedChatModel()
    handlers = {name: handler_from(definition) for name, definition in FLEET.agents.items()}

    async def silent(_: str) -> None:
        return None

    for number, line in enumerate((SDR / "demo" / "leads.jsonl").read_bytes().splitlines()):
        lead = {"lead": orjson.loads(line)}
        run.send(message(f"lead-{number}", lead, conversation=f"lead-{number}"))
    for number, line in enumerate((SDR / "demo" / "messages.jsonl").read_bytes().splitlines()):
        sent = orjson.loads(line)
        name = f"reply-{number}"
        run.send(message(name, sent["data"], conversation=name, type=sent["type"]))
    while run.tasks or run.world.questions:
        for conversation, question in list(run.world.questions.items()):
            answer = await model.complete(question.request, timeout_seconds=1)
            run.answer(conversation, answer)
        for task in list(run.tasks.values())[::-1]:
            agent = task.target or ""
            context = Context(agent, model, 1.0, home, lambda: datetime.now(UTC), silent)
            result = await handlers[agent](Task(task, 1), context)
            assert isinstance(result, Reply)
            run.answers(task, dict(result.data), kind=FLEET.agents[agent].output.type)
    await model.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RecordedRun:
    """The demo, played to its end."""
    run = RecordedRun(ACTIVE)
    asyncio.run(_played(run, tmp_path_factory.mktemp("outbox")))
    assert {outcome.status for outcome in run.world.outcomes} >= {"completed"}
    assert {decision.path for decision in run.world.decisions} == {"contract", "model"}
    return run


def test_replay_of_the_demo_by_its_own_definitions_differs_in_nothing(run) -> None:
    """Every lead's whole way and every reply that a model placed."""
    report = replayed(run.broker, ACTIVE)

    assert (report["conversations"], report["unknown"]) == ([], 0)
    assert report["total"] == report["same"] == len(run.world.decisions)
    assert report["calls_before"] == report["calls_after"] > 0


def test_replay_of_the_demo_without_the_sender_ends_each_written_mail_as_none(run) -> None:
    """Exactly the messages that went to the agent that is gone are different."""
    report = replayed(run.broker, with_agents(send_email=None))

    sent = sum(decision.agent == "send_email" for decision in run.world.decisions)
    assert report["agent_to_none"] == report["changed"] == sent > 0
    assert report["unknown"] == 0


def test_replay_of_the_demo_under_another_description_is_unknown_until_the_model_is_asked(
    run,
) -> None:
    """Only what the model decided depends on a description; the contracts' decisions stay."""
    outreach = FLEET.agents["active_outreach"]
    vague = outreach.model_copy(update={"description": "Does what is left over."})
    candidate = with_agents(active_outreach=vague)

    unknown = replayed(run.broker, candidate)
    asked = replayed(run.broker, candidate, caller=ModelCaller(EmbeddedChatModel(), EnginePolicy()))

    by_model = sum(decision.path == "model" for decision in run.world.decisions)
    assert (unknown["unknown"], unknown["changed"]) == (by_model, 0)
    assert (asked["unknown"], asked["total"]) == (0, unknown["total"])
