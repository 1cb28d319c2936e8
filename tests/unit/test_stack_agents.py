"""The agents' processes follow the registry: started, let go, renewed, started again for what is left. Real, small processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.exit_codes import EXIT_RENEWED
from connectors.broker import BrokerError
from connectors.memory import MemoryBroker
from connectors.registry import change_registry, publish
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.local_stack.agent_group import BACKLOGS_EVERY_SECONDS, AgentGroup, AgentMeans
from signalbox.local_stack.process import ProcessSpec
from signalbox.local_stack.registered_agents import RegisteredAgents
from signalbox.local_stack.state_file import ProcessRecord
from signalbox.settings import Settings
from signalbox.topics import AGENT_REGISTRY
from tests.support.fleets import agent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WAITS_FOR_FILE = """
import pathlib, sys, time
ends = pathlib.Path(sys.argv[1])
while not ends.exists():
    time.sleep(0.02)
code = int(ends.read_text())
ends.unlink()
sys.exit(code)
"""


class Crowd:
    """A group whose processes end with the code that is written into their file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = MemoryBroker()
        self.broker.create_topic(AGENT_REGISTRY)
        self.topics: list[str] = []
        self.said: list[str] = []
        self.backlogs: frozenset[str] = frozenset()
        self.clock = 100.0
        self.is_broker_away = False
        means = AgentMeans(self._spec, self.topics.append, self._with_backlog)
        registered = RegisteredAgents(self.broker, Settings())
        self.group = AgentGroup(registered, means, self._say, now=lambda: self.clock)

    def apply(self, *names: str) -> None:
        """Make agents of these names the active set, and let the group see it."""
        agents = {name: agent(name, ["lead"]) for name in names}
        fleets = [Fleet(FleetPolicy(name="test"), agents)] if agents else []
        publish(self.broker, ActiveSet.of(fleets), topic_prefix="", applied_at=NOON)
        self.group.follow_registry()

    def end(self, name: str, code: int) -> None:
        """Let a process end."""
        scratch = self.folder / "scratch"
        scratch.write_text(str(code))
        scratch.replace(self.folder / name)

    def processes(self) -> dict[str, ProcessRecord]:
        """Agent → its process."""
        return {record.name.removeprefix("agent "): record for record in self.group.records()}

    def until(self, holds: Callable[[], bool]) -> None:
        """Step until a condition holds."""
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, self.said
            self.group.step()
            time.sleep(0.01)

    def _spec(self, name: str) -> ProcessSpec:
        argv = (sys.executable, "-c", WAITS_FOR_FILE, str(self.folder / name))
        return ProcessSpec(f"agent {name}", argv, self.folder / f"{name}.log")

    def _with_backlog(self, agents: Collection[str]) -> frozenset[str]:
        if self.is_broker_away:
            msg = "away"
            raise BrokerError(msg)
        return self.backlogs & set(agents)

    def _say(self, sentence: str | None) -> None:
        if sentence:
            self.said.append(sentence)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    """A crowd whose processes are gone when the test ends."""
    made = Crowd(tmp_path)
    yield made
    for child in made.group.everyone():
        child.stop()


def test_agents_applied_are_started_each_after_its_topic(crowd: Crowd) -> None:
    """Every active agent has one process, and its topic is there first."""
    assert not crowd.group.are_up
    crowd.apply("a", "b")
    crowd.until(lambda: crowd.group.are_up)

    crowd.apply("a", "b", "c")
    crowd.until(lambda: crowd.group.are_up)

    assert crowd.topics == ["a", "b", "c"]
    assert {record.state for record in crowd.processes().values()} == {"running"}


def test_agents_removed_one_ends_by_itself_and_is_not_started_again(crowd: Crowd) -> None:
    """It is `draining` under its pid until its process ends with 0; no signal, no restart."""
    crowd.apply("a", "b")
    crowd.until(lambda: crowd.group.are_up)
    pid = crowd.processes()["b"].pid
    crowd.apply("a")

    crowd.group.step()
    draining = crowd.processes()["b"]
    assert (draining.state, draining.pid, draining.is_alive()) == ("draining", pid, True)
    crowd.end("b", 0)
    crowd.until(lambda: "b" not in crowd.processes())

    assert crowd.group.names == {"a"}
    assert not any("restart" in sentence for sentence in crowd.said)


def test_agents_removed_one_that_crashes_is_started_again_until_it_is_through(
    crowd: Crowd,
) -> None:
    """A crash is not the end of the work: only exit code 0 says that nothing waits any more."""
    crowd.apply("a")
    crowd.until(lambda: crowd.group.are_up)
    crowd.apply()

    crowd.end("a", 9)
    crowd.until(lambda: crowd.processes()["a"].restarts == 1)
    crowd.until(lambda: crowd.processes()["a"].state == "draining")
    crowd.end("a", 0)

    crowd.until(lambda: crowd.processes() == {})


def test_agents_changed_code_is_a_start_without_a_crash(crowd: Crowd) -> None:
    """A process that asks for a new one has it at once, and no restart is counted."""
    crowd.apply("a")
    crowd.until(lambda: crowd.group.are_up)
    pid = crowd.processes()["a"].pid

    crowd.end("a", EXIT_RENEWED)
    crowd.until(lambda: crowd.processes()["a"].pid not in {0, pid})

    assert crowd.processes()["a"].restarts == 0
    assert any("definition changed" in sentence for sentence in crowd.said)


def test_agents_applied_again_while_draining_keeps_its_process(crowd: Crowd) -> None:
    """It follows the registry itself; one that has ended meanwhile is started anew."""
    crowd.apply("a", "b")
    crowd.until(lambda: crowd.group.are_up)
    pids = {name: record.pid for name, record in crowd.processes().items()}
    crowd.apply()
    crowd.end("b", 0)
    deadline = time.monotonic() + 20
    while crowd.processes()["b"].is_alive():
        assert time.monotonic() < deadline

    crowd.apply("a", "b")
    crowd.until(lambda: crowd.group.are_up)

    assert crowd.processes()["a"].pid == pids["a"]
    assert crowd.processes()["b"].pid != pids["b"]
    assert crowd.processes()["b"].restarts == 0


def test_agents_removed_earlier_are_started_while_tasks_wait(crowd: Crowd) -> None:
    """A removal while the stack was down, or a task that came late: a process works it off; others are left alone."""
    publish(crowd.broker, _active("a", "b", "c"), topic_prefix="", applied_at=NOON)
    publish(crowd.broker, _active("c"), topic_prefix="", applied_at=NOON)
    crowd.backlogs = frozenset({"a", "c"})

    crowd.group.follow_registry()
    assert set(crowd.processes()) == {"a", "c"}
    crowd.end("a", 0)
    crowd.until(lambda: "a" not in crowd.processes())
    crowd.group.follow_registry()
    assert set(crowd.processes()) == {"c"}

    crowd.clock += BACKLOGS_EVERY_SECONDS
    crowd.group.follow_registry()
    assert set(crowd.processes()) == {"a", "c"}


def test_agents_broker_away_is_said_and_asked_again(crowd: Crowd) -> None:
    """Nothing ends by it."""
    crowd.apply("a", "b")
    crowd.until(lambda: crowd.group.are_up)
    crowd.apply("a")
    crowd.end("b", 0)
    crowd.until(lambda: "b" not in crowd.processes())
    crowd.clock += BACKLOGS_EVERY_SECONDS
    crowd.is_broker_away, crowd.backlogs = True, frozenset({"b"})

    crowd.group.follow_registry()
    assert "away" in crowd.said
    crowd.is_broker_away = False
    crowd.clock += BACKLOGS_EVERY_SECONDS
    crowd.group.follow_registry()

    assert set(crowd.processes()) == {"a", "b"}


def test_agents_policy_changed_starts_nobody(crowd: Crowd) -> None:
    """The process that drains hears of it on the registry itself."""
    crowd.apply("a")
    crowd.until(lambda: crowd.group.are_up)
    crowd.apply()
    pid = crowd.processes()["a"].pid

    change_registry(
        crowd.broker,
        lambda state: state.retired_with("a", "dead-letter"),
        topic_prefix="",
        applied_at=NOON,
    )
    crowd.group.follow_registry()

    assert crowd.processes()["a"].pid == pid


def _active(*names: str) -> ActiveSet:
    agents = {name: agent(name, ["lead"]) for name in names}
    return ActiveSet.of([Fleet(FleetPolicy(name="test"), agents)])
