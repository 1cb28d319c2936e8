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


def test_apply_of_a_handler_that_is_not_there_changes_nothing(fleet, topics):
    """The function is looked for before the first topic is made; the error names file and line. Elsewhere it may be."""
    (fleet / "writer.yaml").write_text(WRITER.replace("send_email:send", "nowhere:write"))

    refused = runner.invoke(app, ["agents", "apply", str(fleet)])

    assert refused.exit_code == 1
    assert "writer.yaml:10:20: handler 'agents.sdr.nowhere:write'" in refused.stderr
    assert topics == []
    assert runner.invoke(app, ["agents", "apply", str(fleet), "--code-elsewhere"]).exit_code == 0


def test_apply_of_a_handler_whose_module_is_broken_says_so(fleet, topics, tmp_path, monkeypatch):
    """Whatever a module raises while it is read is that definition's problem, not ours."""
    package = tmp_path / "path" / "examples"
    package.mkdir(parents=True)
    (package / "broken_module.py").write_text("this is no Python\n")
    monkeypatch.syspath_prepend(str(package.parent))
    (fleet / "writer.yaml").write_text(
        WRITER.replace("agents.sdr.send_email:send", "examples.broken_module:act")
    )

    result = runner.invoke(app, ["agents", "apply", str(fleet)])

    assert (result.exit_code, topics) == (1, [])
    assert "SyntaxError" in result.stderr


def test_apply_leaves_agents_without_a_file_and_names_them_unless_pruned(fleet, topics):
    """An agent whose file is gone stays active, said aloud; `--prune` removes it by the policy that is asked for."""
    (fleet / "reader.yaml").write_text(WRITER.replace("name: writer", "name: reader"))
    runner.invoke(app, ["agents", "apply", str(fleet)])
    (fleet / "reader.yaml").unlink()

    left = runner.invoke(app, ["agents", "apply", str(fleet)])
    pruned = runner.invoke(
        app, ["agents", "apply", str(fleet), "--prune", "--backlog", "dead-letter", "--json"]
    )

    assert "reader is active and has no file" in left.stderr
    assert topics[-1] == "registry ['writer']"
    assert json.loads(pruned.stdout)["removed"] == ["reader"]
    assert json.loads(pruned.stdout)["backlog"] == {"reader": "dead-letter"}


def test_remove_warns_of_those_who_hand_off_to_it(fleet, topics):
    """Who named it in `handoffs` keeps the name, so its answers may find nobody; the next `up` may bring it back."""
    sender = WRITER.replace("name: writer", "name: reader") + "handoffs: [writer]\n"
    (fleet / "reader.yaml").write_text(sender)
    (fleet / "fleet.yaml").write_text("name: sdr\n")
    runner.invoke(app, ["agents", "apply", str(fleet)])

    result = runner.invoke(app, ["agents", "remove", "writer"])

    assert result.exit_code == 0
    assert "warning: reader may hand off to writer, which is removed" in result.stderr
    assert "nobody is left whom reader may hand off to" in result.stderr
    assert "the next `up` brings it back" in result.stderr


def test_remove_of_the_last_agent_says_what_that_means(fleet, topics):
    """It is allowed."""
    runner.invoke(app, ["agents", "apply", str(fleet)])

    result = runner.invoke(app, ["agents", "remove", "writer"])

    assert result.exit_code == 0
    assert "every message ends as NONE" in result.stderr


def test_remove_again_changes_the_policy_alone(fleet, topics):
    """Who drains may be told to dead-letter the rest; the same policy again changes nothing."""
    runner.invoke(app, ["agents", "apply", str(fleet)])
    runner.invoke(app, ["agents", "remove", "writer"])

    changed = runner.invoke(
        app, ["agents", "remove", "writer", "--backlog", "dead-letter", "--json"]
    )
    same = runner.invoke(app, ["agents", "remove", "writer", "--backlog", "dead-letter"])

    assert json.loads(changed.stdout)["backlog"] == {"writer": "dead-letter"}
    assert (same.exit_code, "nothing changed" in same.stdout) == (0, True)


def test_remove_with_a_policy_that_is_none_is_misuse(topics):
    """The two there are stand in the message."""
    result = runner.invoke(app, ["agents", "remove", "writer", "--backlog", "forget"])

    assert result.exit_code == 2
    assert "drain or dead-letter" in result.stderr


def test_change_without_a_broker_is_refused_with_the_way_out(fleet, monkeypatch):
    """Not a stack trace after half a minute: the address, the reason, and what to do."""
    monkeypatch.setattr("connectors.topic_admin.complaint", lambda *_, **__: "nobody listens")

    for command in (["apply", str(fleet)], ["remove", "writer"], ["list"]):
        result = runner.invoke(app, ["agents", *command])

        assert result.exit_code == 1
        assert "(nobody listens)" in result.stderr
        assert "signalbox up" in result.stderr
