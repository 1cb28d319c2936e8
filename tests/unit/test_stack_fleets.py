"""Fleets reach the registry from their folders, and the stack sees which agents are active."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.memory import MemoryBroker
from connectors.registry import publish, read_active_set
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import ConfigurationError, DefinitionError
from signalbox.local_stack.fleets import apply_fleets, load_fleets
from signalbox.local_stack.registered_agents import RegisteredAgents
from signalbox.settings import Settings

AGENT = """\
name: {name}
description: Answers.
input:
  description: Anything.
  schema: {{type: object}}
output:
  type: {name}.done
  description: An answer.
  schema: {{type: object}}
handler: {{python: "agents.sdr.send_email:send"}}
"""


def _root(folder: Path, **fleets: tuple[str, ...]) -> Path:
    for fleet, agents in fleets.items():
        home = folder / "agent_definitions" / fleet
        home.mkdir(parents=True, exist_ok=True)
        for old in home.glob("*.yaml"):
            old.unlink()
        (home / "fleet.yaml").write_text(f"name: {fleet}\n")
        for agent in agents:
            (home / f"{agent}.yaml").write_text(AGENT.format(name=agent))
    return folder


def _settings(*fleets: str) -> Settings:
    return Settings(fleets=fleets)


def _apply(broker: MemoryBroker, settings: Settings, root: Path) -> ActiveSet:
    return apply_fleets(broker, settings, load_fleets(settings, root))


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker in memory with the registry's topic."""
    made = MemoryBroker()
    made.create_topic("agent_registry", 1)
    return made


def test_apply_fleets_publishes_what_the_folders_say(broker: MemoryBroker, tmp_path: Path) -> None:
    """After `up` the registry's active set is that of the folders."""
    applied = _apply(broker, _settings("a", "b"), _root(tmp_path, a=("one",), b=("two",)))

    found = read_active_set(broker, topic_prefix="")
    assert found is not None
    assert found.digest == applied.digest
    assert set(found.agents) == {"one", "two"}


def test_apply_fleets_again_replaces_its_fleet_and_keeps_others(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """An agent whose file is gone is gone; a fleet that `agents apply` added stays."""
    _apply(broker, _settings("a", "b"), _root(tmp_path, a=("one", "gone"), b=("two",)))

    active = _apply(broker, _settings("a"), _root(tmp_path, a=("one", "three")))

    assert set(active.agents) == {"one", "two", "three"}


def test_load_fleets_unknown_folder_lists_those_there_are(tmp_path: Path) -> None:
    """A misspelt fleet is an error that names the setting and the fleets here; a path is none."""
    root = _root(tmp_path, sales=("one",))

    with pytest.raises(ConfigurationError, match=r"SIGNALBOX_FLEETS names 'sdr'.*sales"):
        load_fleets(_settings("sdr"), root)
    with pytest.raises(ConfigurationError, match="SIGNALBOX_FLEETS"):
        load_fleets(_settings("../agent_definitions/sales"), root)


def test_load_fleets_wrong_definition_has_its_place(tmp_path: Path) -> None:
    """A definition with an error stops `up` before anything starts, at a line a person can open."""
    root = _root(tmp_path, a=("one",))
    (root / "agent_definitions/a/bad.yaml").write_text("name: Bad Name\n")

    with pytest.raises(DefinitionError, match=r"bad\.yaml:1:"):
        load_fleets(_settings("a"), root)


def _active(watcher: RegisteredAgents) -> set[str]:
    state = watcher.state()
    assert state is not None
    return set(state.active.agents)


def test_registered_agents_follow_the_registry(broker: MemoryBroker, tmp_path: Path) -> None:
    """The agents to run are known once a set is published, and change with the next one."""
    watcher = RegisteredAgents(broker, _settings())
    assert watcher.state() is None

    _apply(broker, _settings("a"), _root(tmp_path, a=("one", "two")))
    assert _active(watcher) == {"one", "two"}

    fewer = load_fleets(_settings("a"), _root(tmp_path, a=("two",)))
    publish(broker, fewer, topic_prefix="", applied_at=datetime.now(UTC))
    assert _active(watcher) == {"two"}
    watcher.close()


def test_registered_agents_without_a_topic_wait_for_it(tmp_path: Path) -> None:
    """An agents' container that starts before the topics exist finds the agents once they do."""
    broker = MemoryBroker()
    watcher = RegisteredAgents(broker, _settings())
    assert watcher.state() is None

    broker.create_topic("agent_registry", 1)
    _apply(broker, _settings("a"), _root(tmp_path, a=("one",)))

    assert _active(watcher) == {"one"}
