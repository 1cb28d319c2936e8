"""`agents`: validation with places, and changes of the active set, topics before registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.memory import MemoryBroker
from connectors.registry import read_active_set
from signalbox.cli import session
from signalbox.cli.demo import DEFINITIONS
from signalbox.cli.main import app

runner = CliRunner()

WRITER = """\
name: writer
description: Writes a text. Nothing else.
input:
  description: A brief.
  schema: {type: object, required: [brief]}
output:
  type: text.written
  description: The text.
  schema: {type: object}
handler: {python: "agents.sdr.send_email:send"}
"""


@pytest.fixture
def fleet(tmp_path) -> Path:
    """A fleet `texts` of one agent, `writer`."""
    (tmp_path / "fleet.yaml").write_text("name: texts\ncompletes_on: [text.written]\n")
    (tmp_path / "writer.yaml").write_text(WRITER)
    return tmp_path


@pytest.fixture
def topics(monkeypatch) -> list[str]:
    """What was done on the broker, in order: task topics and publications."""
    broker = MemoryBroker()
    broker.create_topic("agent_registry")
    done: list[str] = []
    monkeypatch.setattr(session, "open_broker", lambda _: broker)
    monkeypatch.setattr(
        session, "ensure_agent_topics", lambda _, agents: done.extend(f"topic {a}" for a in agents)
    )
    monkeypatch.setattr(session, "require_broker", lambda _: None)
    change = session.change_registry

    def changed(settings, edit, **options):
        made = change(settings, edit, **options)
        if made.before != made.after:
            done.append(f"registry {sorted(read_active_set(broker, topic_prefix='').agents)}")
        return made

    monkeypatch.setattr(session, "change_registry", changed)
    return done


def test_validate_of_the_shipped_fleet_finds_nothing():
    """The definitions in the repository are valid."""
    result = runner.invoke(app, ["agents", "validate", str(DEFINITIONS / "sdr")])

    assert result.exit_code == 0
    assert "5 agents, no problems" in result.output


def test_validate_names_the_place_of_every_wrong_file(fleet):
    """Each file's first problem is `path:line:column: what`, and the exit code is 1."""
    (fleet / "writer.yaml").write_text(WRITER.replace("text.written", "task.failed"))
    (fleet / "reader.yaml").write_text(WRITER.replace("name: writer", "name: Reader"))

    result = runner.invoke(app, ["agents", "validate", str(fleet)])

    assert result.exit_code == 1
    assert f"{fleet}/reader.yaml:1:7: " in result.stdout
    assert f"{fleet}/writer.yaml:7:9: " in result.stdout


def test_validate_json_has_the_place_as_numbers(fleet):
    """An editor or a pipeline needs no parsing of text."""
    (fleet / "fleet.yaml").write_text("name: texts\nbudgets: {hops: 0}\n")

    result = runner.invoke(app, ["agents", "validate", str(fleet), "--json"])

    problem = json.loads(result.stdout)["problems"][0]
    assert result.exit_code == 1
    assert (problem["path"], problem["line"]) == (str(fleet / "fleet.yaml"), 2)


def test_validate_warns_of_a_handoff_to_nobody(fleet):
    """It may be an agent of another fleet, so it is a warning and not a problem."""
    (fleet / "writer.yaml").write_text(WRITER + "handoffs: [painter]\n")

    result = runner.invoke(app, ["agents", "validate", str(fleet)])

    assert result.exit_code == 0
    assert "painter" in result.stderr


def test_apply_creates_topics_before_the_registry_names_the_agents(fleet, topics):
    """A task never finds its topic missing."""
    result = runner.invoke(app, ["agents", "apply", str(fleet)])

    assert result.exit_code == 0
    assert topics == ["topic writer", "registry ['writer']"]
    assert "added writer" in result.stdout


def test_apply_of_the_same_fleet_again_publishes_nothing(fleet, topics):
    """Applying twice is applying once."""
    runner.invoke(app, ["agents", "apply", str(fleet)])

    result = runner.invoke(app, ["agents", "apply", str(fleet), "--json"])

    assert topics.count("registry ['writer']") == 1
    assert json.loads(result.stdout)["added"] == []


def test_apply_of_a_wrong_fleet_changes_nothing(fleet, topics):
    """A definition with an error is refused with its place before anything is sent."""
    (fleet / "writer.yaml").write_text("name: [\n")

    result = runner.invoke(app, ["agents", "apply", str(fleet)])

    assert result.exit_code == 1
    assert topics == []
    assert "writer.yaml:" in result.stderr


def test_apply_of_an_agent_that_another_fleet_has_is_misuse(fleet, topics):
    """Names are unique over all fleets; the message names both."""
    runner.invoke(app, ["agents", "apply", str(fleet)])
    (fleet / "fleet.yaml").write_text("name: others\n")

    result = runner.invoke(app, ["agents", "apply", str(fleet)])

    assert result.exit_code == 2
    assert "'texts'" in result.stderr


def test_remove_takes_one_agent_out(fleet, topics):
    """The registry no longer names it."""
    runner.invoke(app, ["agents", "apply", str(fleet)])

    result = runner.invoke(app, ["agents", "remove", "writer"])

    assert result.exit_code == 0
    assert topics[-1] == "registry []"


def test_remove_of_an_unknown_agent_answers_no(topics):
    """Exit code 1, and what is active."""
    result = runner.invoke(app, ["agents", "remove", "writer"])

    assert result.exit_code == 1
    assert "active: none" in result.stderr


def test_list_shows_name_fleet_and_the_first_sentence(fleet, topics):
    """One line an agent."""
    runner.invoke(app, ["agents", "apply", str(fleet)])

    result = runner.invoke(app, ["agents", "list"])

    assert result.stdout.split()[:2] == ["writer", "texts"]
    assert result.stdout.strip().endswith("Writes a text")


def test_list_of_nothing_says_how_to_begin(topics):
    """An empty registry is not an error."""
    result = runner.invoke(app, ["agents", "list"])

    assert result.exit_code == 0
    assert "agents apply" in result.stderr
