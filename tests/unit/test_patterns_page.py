"""The page of patterns: every block of it is run, and does what the page says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from agents.__main__ import main as run_agent
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing.simulation import Simulation
from signalbox.workflows.check import problems_of
from tests.support.fleets import agent, message, reply, rulebook
from tests.support.workflow_world import rules_with

PAGE: Final = Path(__file__).parents[2] / "docs" / "patterns.md"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, tuple[str, str]]:
    """Heading → language and text of its block; a heading has one or none."""
    found = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        for language, body in BLOCK.findall(text):
            assert heading not in found, f"{heading} has two blocks"
            found[heading] = (language, body)
    return found


BLOCKS: Final = blocks()


class Played:
    """A workflow of the page, and agents that answer as a scenario says."""

    def __init__(self, heading: str, data: dict[str, Any] | None = None) -> None:
        definition = WorkflowDefinition.model_validate(yaml.safe_load(BLOCKS[heading][1]))
        staff = {name: agent(name, [], closed=False) for name in sorted(definition.agents)}
        assert problems_of(definition, staff) == ()
        self.world = Simulation(rules_with(definition, agents=tuple(staff.values())))
        self.world.send(message("m-1", data or {"n": 1}, type=definition.starts_on[0]))

    def tasks(self, name: str) -> list[Envelope]:
        """The tasks that an agent was given."""
        return [one.task for one in self.world.dispatches if one.agent == name]

    def answer(self, name: str, kind: str = "", **data: Any) -> None:
        """Let an agent answer its newest task."""
        self.world.send(reply(self.tasks(name)[-1], data, kind=kind))

    def fail(self, name: str) -> None:
        """Let an agent give up."""
        self.answer(name, TASK_FAILED, detail="no")

    @property
    def agents(self) -> list[str]:
        """Who was given something, in order."""
        return [one.agent for one in self.world.dispatches]

    @property
    def outcome(self) -> str:
        """How it ended."""
        (outcome,) = self.world.outcomes
        return outcome.status


def request_and_response() -> None:
    """The answer carries the request's correlation id; silence past task_seconds expires."""
    asked: Envelope = Envelope.from_json(BLOCKS["Request and response"][1])
    policy = {"budgets": {"task_seconds": 30}, "completes_on": ["pricing.done"]}
    for is_silent, status in ((False, "completed"), (True, "expired")):
        book = rulebook(agent("pricing", ["product"], handoffs=[]), policy=policy)
        world = Simulation(book)
        world.send(asked)
        (dispatch,) = world.dispatches
        assert (dispatch.agent, dispatch.task.correlationid) == ("pricing", "request-1")
        if is_silent:
            world.pass_time(31)
        else:
            world.send(reply(dispatch.task, {"cents": 1999}))
        assert [one.status for one in world.outcomes] == [status]


def publish_and_subscribe() -> None:
    """Both subscribers have a task of their own; a small volume is heard by nobody."""
    definition = yaml.safe_load(BLOCKS["Publish and subscribe"][1])
    watch = AgentDefinition.model_validate(definition)
    other = AgentDefinition.model_validate({**definition, "name": "archive"})
    world = Simulation(rulebook(watch, other, policy={"completes_on": ["volume.noticed"]}))
    world.send(message("m-1", {"volume": 2000}, type="market.data"))
    assert sorted(one.agent for one in world.dispatches) == ["archive", "volume_watch"]
    for one in list(world.dispatches):
        world.send(reply(one.task, {}, kind="volume.noticed"))
    assert [one.status for one in world.outcomes] == ["completed"]
    world.send(message("m-2", {"volume": 10}, type="market.data", conversation="c-2"))
    assert len(world.dispatches) == 2


def scatter_and_gather() -> None:
    """All three are asked at once, and what they answer is compared together."""
    played = Played("Scatter and gather")
    assert sorted(played.agents) == ["carrier_north", "carrier_south", "carrier_west"]
    for cents, name in enumerate(sorted(played.agents)):
        played.answer(name, cents=cents)
    assert played.tasks("buyer")[0].data == {"offers": [0, 1, 2]}
    played.answer("buyer", chosen="north")
    assert played.world.outcomes[0].result == {"chosen": "north"}

    failing = Played("Scatter and gather")
    failing.fail("carrier_west")
    failing.answer("carrier_north", cents=1)
    failing.answer("carrier_south", cents=1)
    assert failing.outcome == "failed"


def first_answer_wins() -> None:
    """Whoever is first is heard; the other comes late."""
    for first, second in (("small_model", "large_model"), ("large_model", "small_model")):
        played = Played("First answer wins")
        played.answer(first, text=f"{first} says")
        assert played.tasks("spokesman")[0].data == {"text": f"{first} says"}
        played.answer(second, text="too late")
        played.answer("spokesman")
        assert [one.reason for one in played.world.dead_letters] == ["late"]
        assert played.outcome == "completed"


def consensus() -> None:
    """Two of three decide, whether the third answers, fails or is silent; a majority releases."""
    for accepted, released in ((2, True), (0, False)):
        played = Played("Consensus")
        played.answer("voter_cyd", accepted=bool(accepted))
        played.fail("voter_bob")
        played.answer("voter_ann", accepted=bool(accepted))
        votes = [bool(accepted), None, bool(accepted)]
        assert played.tasks("teller")[0].data == {"votes": votes}
        played.answer("teller", accepted=accepted, refused=2 - accepted)
        assert bool(played.tasks("releaser")) is released
        if released:
            played.answer("releaser")
        assert played.outcome == "completed"
    nobody = Played("Consensus")
    nobody.world.pass_time(61)
    assert nobody.outcome == "failed"


def orchestration() -> None:
    """Two at once, then the call for large customers alone, then the welcome."""
    for size, order in ((500, ["sales", "mailer"]), (5, ["mailer"])):
        played = Played("Orchestration", {"size": size})
        assert played.agents == ["accounts", "compliance"]
        played.answer("accounts")
        assert len(played.agents) == 2
        played.answer("compliance")
        for name in order:
            played.answer(name)
        assert played.agents[2:] == order
        assert played.outcome == "completed"


def saga() -> None:
    """The car fails, so the hotel is cancelled and then the flight."""
    played = Played("Saga")
    played.answer("airline")
    played.answer("hotels")
    played.fail("cars")
    played.answer("hotels")
    played.answer("airline")
    undone = [one.task.data for one in played.world.dispatches[3:]]
    assert undone == [{"cancel": "hotel"}, {"cancel": "flight"}]
    assert played.outcome == "compensated"


def human_approval() -> None:
    """Nothing is paid before a person agreed; after a day without an answer nothing is."""
    for decision in ("approve", "reject", ""):
        played = Played("Human approval", {"amount": 500})
        (review,) = played.world.reviews
        assert (review.reason, played.agents) == ("Pay back 500?", [])
        if decision:
            data = {"token": review.token, "decision": decision, "resolved_by": "ada"}
            played.world.send(message("m-2", data, type="review.resolved"))
        else:
            played.world.pass_time(86_401)
        assert played.agents == (["payment"] if decision == "approve" else [])
        if decision == "approve":
            played.answer("payment")
        assert played.outcome == ("completed" if decision == "approve" else "failed")


def validation_by_a_second_agent() -> None:
    """Refused once, the writer gets the comment; refused twice, the step has failed."""
    for verdicts, status in (([False, True], "completed"), ([False, False], "failed")):
        played = Played("Validation by a second agent")
        for verdict in verdicts:
            played.answer("writer", text="words")
            played.answer("critic", accepted=verdict, comment="shorter")
        assert "shorter" in played.tasks("writer")[1].data["context"]
        assert played.outcome == status


def load_balancing() -> None:
    """The commands are ones that the agents' program takes: it knows the name and the instance."""
    lines = BLOCKS["Load balancing"][1].splitlines()
    assert len(lines) == 2
    for line in lines:
        python, flag, module, *arguments = shlex.split(line)
        assert (python, flag, module) == ("python", "-m", "agents")
        with pytest.raises(SystemExit) as ended:
            run_agent([*arguments, "--help"])
        assert ended.value.code == 0


def resource_allocation() -> None:
    """Granted, used, given back; given back as well where the work fails; a pool with nothing left is asked again."""
    played = Played("Resource allocation")
    played.fail("pool")
    played.answer("pool", machine="m-7")
    assert played.tasks("renderer")[0].data == {"machine": "m-7"}
    played.answer("renderer")
    assert played.tasks("pool")[-1].data == {"give_back": "m-7"}
    played.answer("pool")
    assert played.outcome == "completed"

    failing = Played("Resource allocation")
    failing.answer("pool", machine="m-7")
    failing.fail("renderer")
    assert failing.tasks("pool")[-1].data == {"give_back": "m-7"}
    failing.answer("pool")
    assert failing.outcome == "compensated"


SCENARIOS: Final[dict[str, Callable[[], None]]] = {
    "Request and response": request_and_response,
    "Publish and subscribe": publish_and_subscribe,
    "Scatter and gather": scatter_and_gather,
    "First answer wins": first_answer_wins,
    "Consensus": consensus,
    "Orchestration": orchestration,
    "Saga": saga,
    "Human approval": human_approval,
    "Validation by a second agent": validation_by_a_second_agent,
    "Load balancing": load_balancing,
    "Resource allocation": resource_allocation,
}


@pytest.mark.parametrize("heading", SCENARIOS)
def test_block_of_the_page_does_what_the_page_says(heading: str) -> None:
    """Taken out of the page as it stands, checked as `validate` would, and played."""
    SCENARIOS[heading]()


def test_every_block_is_played_and_every_pattern_is_in_the_table() -> None:
    """A block that nobody plays would rot, and a pattern without a way to it is not found."""
    assert BLOCKS.keys() == SCENARIOS.keys()
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    for heading in SCENARIOS:
        assert f"](#{heading.lower().replace(' ', '-')})" in table


def test_request_of_the_page_is_one_line_for_send() -> None:
    """`signalbox send` reads a line an envelope."""
    assert len(BLOCKS["Request and response"][1].splitlines()) == 1
    json.loads(BLOCKS["Request and response"][1])
