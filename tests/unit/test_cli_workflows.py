"""`signalbox workflows list|show`, and what `agents apply` and `remove` make of workflows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from typer.testing import CliRunner

from signalbox.cli.dag_lines import dag_lines
from signalbox.cli.main import app
from signalbox.workflows.graph import order
from tests.unit.test_cli_agents import fleet, topics  # noqa: F401 (fixtures)
from tests.unit.test_workflow_check import GOOD, folder, write  # noqa: F401 (folder is a fixture)
from tests.unit.test_workflow_graph import DIAMOND, acyclic

runner = CliRunner()

PROOFREAD = """\
name: proofread
description: Writes a text, and writes it again.
starts_on: [brief.given]
input: {description: A brief., schema: {type: object, required: [brief], properties: {brief: {}}}}
steps:
- {id: draft, agent: writer, compensate: none}
- {id: again, agent: writer, needs: [draft], on_failure: skip}
"""


def drawn(needs) -> list[str]:
    lines = dag_lines(needs, order(needs))
    return [
        line.prefix + line.step + (f" (also {', '.join(line.also)})" if line.also else "")
        for line in lines
    ]


def test_a_dag_is_drawn_as_a_tree():
    """Each step below what it waits for; a join hangs below the last of its needs and names the others."""
    assert drawn(DIAMOND) == [
        "reserve",
        "├─► pack",
        "└─► charge",
        "    └─► ship (also pack)",
    ]


@given(needs=acyclic())
def test_every_step_and_every_need_is_drawn_once(needs):
    """Nothing is left out: the steps, and each need either as the line above or by name."""
    lines = dag_lines(needs, order(needs))

    assert sorted(line.step for line in lines) == sorted(needs)
    for line in lines:
        hangs = bool(line.prefix)
        assert len(line.also) + hangs == len(needs[line.step])


def test_a_long_chain_is_drawn():
    """As many steps as there may be, one after the other."""
    needs = {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(200)}

    assert len(drawn(needs)) == 200


def test_show_draws_the_steps_and_what_becomes_of_them(folder):  # noqa: F811
    """Who does each step, when, who agrees, judges and undoes it."""
    result = runner.invoke(app, ["workflows", "show", "fulfil", "--definitions", str(folder)])

    assert result.exit_code == 0
    assert "starts on order.placed; ends within 3600 s" in result.stdout
    lines = result.stdout.splitlines()
    assert lines[-3].split() == ["reserve", "inventory", "undone", "by", "release"]
    assert "└─► charge" in lines[-2]
    assert "when data.amount > 0; a person agrees within 60 s, else reject" in lines[-2]
    assert "judged by auditor, at most 2 times" in lines[-2]


def test_show_of_an_unknown_workflow_says_no(folder):  # noqa: F811
    """Exit code 1, with the nearest name."""
    result = runner.invoke(app, ["workflows", "show", "fulfi", "--definitions", str(folder)])

    assert result.exit_code == 1
    assert "did you mean fulfil?" in result.stderr


def test_show_json_has_the_whole_definition(folder):  # noqa: F811
    """A program gets what the registry has, and the order."""
    command = ["workflows", "show", "fulfil", "--definitions", str(folder), "--json"]
    told = json.loads(runner.invoke(app, command).stdout)

    assert told["steps"] == ["reserve", "charge", "ship"]
    assert told["definition"]["steps"][0]["input"]["quantity"] == {"$path": "$.data.quantity"}


def test_a_wrong_folder_is_told_with_its_place(folder):  # noqa: F811
    """What `validate` refuses is not shown either."""
    write(folder, GOOD.replace("agent: payment", "agent: nobody"))
    result = runner.invoke(app, ["workflows", "list", "--definitions", str(folder)])

    assert result.exit_code == 1
    assert "fulfil.yaml:22:10" in result.stderr


@pytest.fixture
def texts(fleet) -> Path:  # noqa: F811
    """A fleet of one agent with a workflow."""
    write(fleet, PROOFREAD, "proofread")
    return fleet


def test_apply_makes_workflows_active_and_says_so(texts, topics):  # noqa: F811
    """Added, changed and removed as agents are; `list` shows what the registry has."""
    added = runner.invoke(app, ["agents", "apply", str(texts), "--json"])
    write(texts, PROOFREAD.replace("again.", "once more."), "proofread")
    changed = runner.invoke(app, ["agents", "apply", str(texts)])
    listed = runner.invoke(app, ["workflows", "list", "--json"])

    assert json.loads(added.stdout)["workflows"]["added"] == ["proofread"]
    assert "changed workflow proofread" in changed.stdout
    (told,) = json.loads(listed.stdout)["workflows"]
    assert (told["name"], told["fleet"], told["steps"]) == (
        "proofread",
        "texts",
        ["draft", "again"],
    )


def test_apply_prune_removes_a_workflow_without_a_file(texts, topics):  # noqa: F811
    """Without --prune it stays and is told."""
    runner.invoke(app, ["agents", "apply", str(texts)])
    (texts / "workflows" / "proofread.yaml").unlink()
    kept = runner.invoke(app, ["agents", "apply", str(texts)])
    pruned = runner.invoke(app, ["agents", "apply", str(texts), "--prune"])

    assert "workflow proofread is active and has no file" in kept.stderr
    assert "removed workflow proofread" in pruned.stdout
    assert "no workflows" in runner.invoke(app, ["workflows", "list"]).stderr


def test_an_agent_that_a_workflow_needs_is_not_removed(texts, topics):  # noqa: F811
    """The command says which workflow, and what to do first; nothing is changed."""
    runner.invoke(app, ["agents", "apply", str(texts)])
    result = runner.invoke(app, ["agents", "remove", "writer"])

    assert result.exit_code == 2
    assert "workflow 'proofread' has 'writer' do a step" in result.stderr
    assert topics == ["topic writer", "registry ['writer']"]


def test_a_wrong_workflow_is_not_applied(texts, topics):  # noqa: F811
    """Neither is anything else of its folder: all or nothing."""
    write(texts, PROOFREAD.replace("needs: [draft]", "needs: [again]"), "proofread")
    result = runner.invoke(app, ["agents", "apply", str(texts)])

    assert result.exit_code == 1
    assert "circle: again → again" in result.stderr
    assert topics == []
