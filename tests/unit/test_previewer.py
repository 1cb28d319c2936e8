"""What SQL's functions answer, without Flink: by contract, by model, and for values that are no messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.scripted_model import Said, ScriptedChatModel
from flink_jobs.previewer import INVALID, REFRESH_SECONDS, Previewer, to_json
from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.errors import RetryableError, StackError, TerminalError
from signalbox.routing.rules import EnginePolicy
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, rulebook

WRITER = agent("writer", ["brief"])
TWINS = (agent("left", ["x"]), agent("right", ["x"]))


class World:
    """A registry, a model and a clock that a test sets."""

    def __init__(self, *agents: AgentDefinition, said: Said = "{}") -> None:
        self.active: ActiveSet | None = active(*agents) if agents else None
        self.failure: Exception | None = None
        self.reads = 0
        self.now_seconds = 1_000.0
        self.model = ScriptedChatModel(lambda _: said)
        self.previewer = Previewer(self.read, self.model, EnginePolicy(), lambda: self.now_seconds)
        self.previewer.start()

    def read(self) -> ActiveSet | None:
        """Read the registry, or fail."""
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return self.active


def active(*agents: AgentDefinition) -> ActiveSet:
    """The active set of one fleet with these agents."""
    return ActiveSet.of([Fleet(FleetPolicy(name="test"), {item.name: item for item in agents})])


@pytest.fixture(scope="module")
def writer_only() -> Iterator[Previewer]:
    """A previewer whose only agent takes a brief."""
    world = World(WRITER)
    yield world.previewer
    world.previewer.close()


def test_agent_one_contract_accepts_is_named_without_the_model() -> None:
    """What contracts decide costs no model call."""
    world = World(WRITER, *TWINS)

    assert world.previewer.agent(message("m", {"brief": "b"}).to_json()) == "writer"
    assert world.model.requests == []


def test_agent_nobody_accepts_is_none_with_the_violated_field(writer_only: Previewer) -> None:
    """NONE comes with what was missing."""
    found = writer_only.explain(message("m", {"other": 1}).to_json())

    assert found is not None
    assert (found["agent"], found["path"]) == (NONE, "contract")
    assert "brief" in found["reason"]


def test_agent_several_accept_the_model_places_it() -> None:
    """Where contracts leave several, the model's answer counts, and its name is stated."""
    world = World(*TWINS, said={"agent": "right", "reason": "because", "confidence": 0.9})
    found = world.previewer.explain(message("m", {"x": 1}).to_json())

    assert found is not None
    assert (found["agent"], found["path"], found["model"]) == ("right", "model", "scripted")


@pytest.mark.parametrize(
    "failure",
    [RetryableError("busy"), TerminalError("no key", reason="model_failed"), RuntimeError("a bug")],
)
def test_agent_model_fails_is_null_and_says_so(failure: Exception) -> None:
    """A model that fails is no exception and no NONE: nobody can say."""
    found = World(*TWINS, said=failure).previewer.explain(message("m", {"x": 1}).to_json())

    assert found is not None
    assert found["agent"] is None
    assert str(failure) in found["reason"]


def test_agent_model_names_a_stranger_is_none() -> None:
    """A name that was not to choose from is never taken."""
    world = World(*TWINS, said={"agent": "writer", "reason": "x", "confidence": 1})

    assert world.previewer.agent(message("m", {"x": 1}).to_json()) == NONE


def test_agent_same_as_the_orchestrator_decides() -> None:
    """The function and the operator's reducer share one core: they name the same agent."""
    sent = message("m", {"brief": "b"})
    world = Simulation(rulebook(WRITER, *TWINS))
    world.send(sent)

    assert [item.agent for item in world.dispatches] == [
        World(WRITER, *TWINS).previewer.agent(sent.to_json())
    ]


def test_agent_null_is_null(writer_only: Previewer) -> None:
    """NULL in, NULL out, as everywhere in SQL."""
    assert writer_only.agent(None) is None
    assert to_json(writer_only.explain(None)) is None
    assert writer_only.task(None, "writer") is None


@settings(max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200), st.from_type(dict[str, int]).map(json.dumps)
    )
)
def test_agent_any_value_is_answered_without_an_exception(
    writer_only: Previewer, value: bytes | str
) -> None:
    """Whatever comes is INVALID, not an error that ends the query."""
    assert writer_only.agent(value) == INVALID


@pytest.mark.parametrize("depth", [65, 100_000])
def test_agent_deep_nesting_is_invalid(writer_only: Previewer, depth: int) -> None:
    """Brackets beyond the admitted depth are refused before anything parses them."""
    assert writer_only.agent(b"[" * depth) == INVALID


def test_agent_before_the_first_manifest_is_null_not_none() -> None:
    """Without definitions nobody can say: that is not a decision that nobody should act."""
    found = World().previewer.explain(message("m", {"brief": "b"}).to_json())

    assert found is not None
    assert (found["agent"], found["reason"]) == (None, "no definitions are active yet")


def test_definitions_are_read_again_after_a_while_and_not_before() -> None:
    """New definitions count within the refresh time; until then nothing is read."""
    world = World(WRITER)
    value = message("m", {"x": 1}).to_json()
    world.active = active(TWINS[0])

    assert (world.previewer.agent(value), world.reads) == (NONE, 1)
    world.now_seconds += REFRESH_SECONDS
    assert (world.previewer.agent(value), world.reads) == ("left", 2)


def test_definitions_unreadable_later_keeps_the_last_ones() -> None:
    """A broker that is away for a moment does not take the definitions away."""
    world = World(WRITER)
    world.failure = StackError("the broker does not answer")
    world.now_seconds += REFRESH_SECONDS

    assert world.previewer.agent(message("m", {"brief": "b"}).to_json()) == "writer"


def test_definitions_unreadable_at_the_start_is_an_error() -> None:
    """A query that could answer nothing says why, instead of a column of NULLs."""
    world = World(WRITER)
    world.failure = StackError("the broker does not answer")

    with pytest.raises(StackError, match="does not answer"):
        world.previewer.start()


def test_task_is_the_orchestrators_but_for_budgets() -> None:
    """The task carries the same id, cause, data and target as the orchestrator's."""
    sent = message("m", {"brief": "b"}, priority=2)
    world = Simulation(rulebook(WRITER))
    world.send(sent)
    theirs = world.dispatches[0].task
    raw = World(WRITER).previewer.task(sent.to_json(), "writer")

    assert raw is not None
    ours = Envelope.from_json(raw)
    same = {
        "id",
        "source",
        "type",
        "subject",
        "correlationid",
        "causationid",
        "priority",
        "target",
        "hop",
        "data",
    }
    assert ours.model_dump(include=same) == theirs.model_dump(include=same)


@pytest.mark.parametrize("name", [None, NONE, INVALID])
def test_task_without_an_agent_is_null(writer_only: Previewer, name: str | None) -> None:
    """Nobody to act, nothing to send."""
    assert writer_only.task(message("m", {"brief": "b"}).to_json(), name) is None
