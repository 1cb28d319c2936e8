"""What one agent's process makes of the registry: what it serves, when it ends for a new process, what a removal means."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from agents.registry_watch import Ears, RegistryWatch
from agents.serving import Serving
from agents.task import Handler
from connectors.memory import MemoryBroker
from connectors.registry import change_registry, publish, read_registry
from signalbox.contracts.registry import BacklogPolicy
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.errors import ConfigurationError
from signalbox.topics import AGENT_REGISTRY
from tests.support.fleets import agent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HTTP = {"http": {"url": "http://127.0.0.1:1/"}}
PROMPT = {"prompt": {"system": "s", "user": "u"}}
PROMPT_WITH_CODE = {"prompt": {"system": "s", "user": "u", "embedded": "agents.x:y"}}
PYTHON = {"python": "agents.x:y"}


class Process:
    """A registry and the watch of agent `worker`, told of it step by step."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topic(AGENT_REGISTRY)
        self.served: list[Serving] = []
        self.renewals = 0
        self.is_code_there = True
        self.restart()

    def restart(self) -> None:
        """Another process of the agent."""
        self._watch = RegistryWatch("worker", self.broker, "", self._handler, threading.Event())

    def publish(self, *agents: AgentDefinition) -> None:
        """Make these the active set, and look."""
        fleet = Fleet(FleetPolicy(name="test"), {one.name: one for one in agents})
        publish(self.broker, ActiveSet.of([fleet]), topic_prefix="", applied_at=NOON)
        self.look()

    def remove(self, backlog: BacklogPolicy) -> None:
        """Remove the worker, and look."""
        change_registry(
            self.broker,
            lambda state: state.activated(
                state.active.without("worker"), removed_at=NOON, backlog=backlog
            ),
            topic_prefix="",
            applied_at=NOON,
        )
        self.look()

    def look(self) -> None:
        """Let the watch see what the registry says."""
        ears = Ears(serve=self.served.append, renew=self._renew)
        self._watch.take(read_registry(self.broker, topic_prefix=""), ears)

    def _renew(self) -> None:
        self.renewals += 1

    def _handler(self, definition: AgentDefinition) -> Handler:
        if not self.is_code_there:
            msg = "no such function"
            raise ConfigurationError(msg)

        async def handle(*_: object) -> object:
            raise NotImplementedError

        return handle  # type: ignore[return-value]


@pytest.mark.parametrize("handler", [HTTP, PROMPT])
def test_watch_change_without_code_is_served_by_the_same_process(
    handler: dict[str, object],
) -> None:
    """A changed endpoint, prompt or limit is taken up at once; another agent's change keeps the compiled contracts."""
    process = Process()
    process.publish(agent("worker", ["lead"], handler=handler))
    process.publish(agent("worker", ["lead"], handler=handler), agent("other", ["x"]))
    process.publish(agent("worker", ["lead"], handler=handler, limits={"max_concurrent": 3}))

    first, second, third = process.served
    assert process.renewals == 0
    assert second.input_contract is first.input_contract
    assert second.definitions != first.definitions
    assert third.definition.limits.max_concurrent == 3


@pytest.mark.parametrize("handler", [PYTHON, PROMPT_WITH_CODE])
def test_watch_change_with_code_asks_for_a_new_process(handler: dict[str, object]) -> None:
    """What Python has imported it does not read again; a new process of the changed definition just serves it."""
    process = Process()
    process.publish(agent("worker", ["lead"], handler=HTTP))
    process.publish(agent("worker", ["lead"], handler=handler))
    assert (process.renewals, len(process.served)) == (1, 1)

    process.restart()
    process.look()

    assert (process.renewals, len(process.served)) == (1, 2)


def test_watch_change_of_what_only_routing_reads_keeps_the_process() -> None:
    """Another description, example or allowlist pauses nobody's work."""
    process = Process()
    process.publish(agent("worker", ["lead"], handler=PYTHON))
    process.publish(
        agent(
            "worker",
            ["lead"],
            handler=PYTHON,
            description="In other words.",
            examples=["One."],
            handoffs=["other"],
        )
    )

    assert (process.renewals, len(process.served)) == (0, 2)
    assert process.served[1].definition.description == "In other words."


def test_watch_change_whose_code_is_not_there_keeps_the_old_definition() -> None:
    """The process neither ends nor serves it; the next good one is taken up."""
    process = Process()
    process.publish(agent("worker", ["lead"], handler=HTTP))
    process.is_code_there = False
    process.publish(agent("worker", ["lead"], handler=PYTHON))
    assert (process.renewals, len(process.served)) == (0, 1)

    process.is_code_there = True
    process.publish(agent("worker", ["lead"], handler=HTTP, limits={"max_attempts": 1}))

    assert process.served[-1].definition.limits.max_attempts == 1


@pytest.mark.parametrize("backlog", ["drain", "dead-letter"])
def test_watch_removal_is_served_with_its_policy_by_old_and_new_processes(
    backlog: BacklogPolicy,
) -> None:
    """Whoever served it and whoever is started for it later know the definition and the policy."""
    process = Process()
    process.publish(agent("worker", ["lead"]), agent("other", ["x"]))
    process.remove(backlog)
    process.restart()
    process.look()

    assert [one.retired for one in process.served] == [None, backlog, backlog]
    assert len({one.definition.digest for one in process.served}) == 1


def test_watch_removed_agent_whose_code_went_with_it_turns_its_tasks_away() -> None:
    """Nobody can work them off, so each becomes a dead letter instead of waiting for a handler that never comes."""
    process = Process()
    process.publish(agent("worker", ["lead"]), agent("other", ["x"]))
    process.remove("drain")
    process.is_code_there = False
    process.restart()

    process.look()

    assert process.served[-1].retired == "dead-letter"


def test_watch_applied_again_is_active_again() -> None:
    """With the same definition the very contracts go on; with changed code a new process takes over."""
    process = Process()
    process.publish(agent("worker", ["lead"]), agent("other", ["x"]))
    process.remove("drain")
    process.publish(agent("worker", ["lead"]))
    assert process.served[-1].retired is None

    process.remove("drain")
    process.publish(agent("worker", ["lead"], limits={"max_concurrent": 1}))
    assert process.renewals == 1


def test_watch_agent_that_was_never_defined_waits() -> None:
    """A process started before its definition is applied is told nothing."""
    process = Process()
    process.publish(agent("other", ["x"]))

    assert (process.served, process.renewals) == ([], 0)
