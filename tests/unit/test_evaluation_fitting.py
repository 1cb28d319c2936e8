"""What a calibration is fitted on, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app
from signalbox.definitions.agent_list import load_definitions
from signalbox.evaluation.fitting import labelled_scores
from signalbox.evaluation.rows import LabelledRow
from tests.support.fleets import agent, rulebook

RULES = rulebook(agent("alpha", ["a"]), agent("left", ["t"]), agent("right", ["t"]))

AGENTS = """\
# Two agents that a text may be for.
agents:
- name: banking # the old one
  description: Handles bank accounts, balances and transfers.
- name: travel
  description: Books flights, hotels and rental cars.
"""
ROWS = [
    ("how much money is in my account", "banking"),
    ("send 100 dollars to my landlord", "banking"),
    ("book me a room in Lisbon", "travel"),
    ("I need a flight on Monday", "travel"),
    ("how tall is a giraffe", "NONE"),
    ("tell me a joke about cats", "NONE"),
]


def row(expected: str | tuple[str, ...], **data: Any) -> LabelledRow:
    allowed = (expected,) if isinstance(expected, str) else expected
    return LabelledRow(1, 1, allowed, data, is_text=False)


def signals(
    query: str, choices: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, float], dict[str, float]]:
    return dict.fromkeys(choices, float(len(query))), dict.fromkeys(choices, 0.5)


def test_only_rows_that_a_model_is_asked_about_and_that_have_one_answer_teach() -> None:
    """Contracts need no threshold, and two right answers say nothing of one."""
    rows = [
        row("alpha", a="decided by contract"),
        row("NONE", other="nobody's by contract"),
        row(("left", "right"), t="either"),
        row("alpha", t="its agent does not accept it"),
        row("left", t="four"),
        row("NONE", t="seven"),
    ]
    told: list[int] = []
    found = labelled_scores(rows, RULES, signals, told.append)

    assert [(one.expected, dict(one.dense)) for one in found] == [
        ("left", {"left": 4.0, "right": 4.0}),
        ("NONE", {"left": 5.0, "right": 5.0}),
    ]
    assert told == [1, 2, 3, 4, 5, 6]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two agents as a list and six labelled texts."""
    definitions, messages = tmp_path / "agents.yaml", tmp_path / "rows.jsonl"
    definitions.write_text(AGENTS)
    labelled = [{"id": n, "text": text, "expected": name} for n, (text, name) in enumerate(ROWS)]
    messages.write_text("".join(json.dumps(one) + "\n" for one in labelled))
    return definitions, messages


def fit(files: tuple[Path, Path], *more: str) -> Any:
    arguments = ["--definitions", str(files[0]), "--messages", str(files[1]), "--fit", *more]
    return CliRunner().invoke(app, ["eval", *arguments])


def test_fit_goes_into_the_fleets_own_file_and_touches_nothing_else_of_it(files) -> None:
    """Stored with the fleet, named with the number of rows it came from, and used at once."""
    answer = fit(files, "--json")
    found = json.loads(answer.stdout)
    calibration = load_definitions(files[0]).policy.calibration

    assert answer.exit_code == 0
    assert files[0].read_text().startswith(AGENTS + "calibration:\n")
    assert calibration.semantic.rows == 6
    assert 0 < calibration.semantic.none_below < 1
    assert found["fitted"] is True
    assert found["calibration_used"] == calibration.model_dump()
    assert found["right"] >= 5


def test_fit_into_a_file_of_its_own_leaves_the_definitions_alone(files, tmp_path) -> None:
    """For definitions that somebody else owns; the file is then given back as it is."""
    out = tmp_path / "calibration.yaml"
    fit(files, "--calibration", str(out))
    arguments = ["--definitions", str(files[0]), "--messages", str(files[1])]
    again = CliRunner().invoke(app, ["eval", *arguments, "--calibration", str(out), "--json"])

    assert files[0].read_text() == AGENTS
    assert json.loads(again.stdout)["calibration_used"]["semantic"]["rows"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "agents.yaml",
        "calibration.yaml",
        "rows.jsonl",
    ]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SIGNALBOX_EMBEDDER__PROVIDER": "lexical"}, "--fit needs an embedder"),
        (
            {"SIGNALBOX_MODEL__PROVIDER": "ollama", "SIGNALBOX_MODEL__NAME": "m"},
            "--fit is for the embedded model",
        ),
    ],
)
def test_fit_that_nothing_would_use_is_misuse(files, monkeypatch, environment, said: str) -> None:
    """A threshold is the embedded model's, and only by vectors."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    answer = fit(files)

    assert answer.exit_code == 2
    assert said in answer.stderr
    assert files[0].read_text() == AGENTS


def test_rows_that_teach_nothing_are_misuse(files) -> None:
    """What contracts decide has no threshold to fit."""
    files[1].write_text('{"id": 1, "data": {"other": 1}, "expected": "NONE"}\n')
    answer = fit(files)

    assert answer.exit_code == 2
    assert "nothing to fit" in answer.stderr
    assert files[0].read_text() == AGENTS
