"""`eval`: from a file of labelled rows to figures, predictions, a page and an exit code."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app

runner = CliRunner()

AGENTS = """\
agents:
- name: banking
  description: Handles bank accounts, balances and transfers.
  input: A question about a bank account.
  output: The account's figures.
  examples: [how much money is in my bank account]
- name: travel
  description: Books flights, hotels and rental cars.
  input: A request about a trip.
  output: A booking.
"""
ROWS = [
    {"id": "1", "text": "transfer money from my bank account", "expected": "banking"},
    {"id": "2", "text": "book a hotel and a rental car", "expected": "travel"},
    {"id": "3", "text": "quantum chromodynamics", "expected": "NONE"},
    {"id": "4", "text": "<script>alert(1)</script> book flights", "expected": "banking"},
]


@pytest.fixture(autouse=True)
def by_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is the command, so no weights are loaded."""
    monkeypatch.setenv("SIGNALBOX_EMBEDDER__PROVIDER", "lexical")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two agents as a list, and four rows of which one is labelled wrong."""
    definitions, messages = tmp_path / "agents.yaml", tmp_path / "rows.jsonl"
    definitions.write_text(AGENTS)
    messages.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return definitions, messages


def run(files: tuple[Path, Path], *more: str) -> Any:
    definitions, messages = files
    arguments = ["eval", "--definitions", str(definitions), "--messages", str(messages), *more]
    return runner.invoke(app, arguments)


def test_json_is_one_object_with_the_figures(files) -> None:
    """stdout has JSON only, so that a program can read it."""
    answer = run(files, "--json")
    found = json.loads(answer.stdout)

    assert answer.exit_code == 0
    assert (found["rows"], found["right"], found["accuracy"]) == (4, 3, 0.75)
    assert found["model"]["calls"] == 4
    assert found["confused"][0]["examples"][0]["id"] == "4"


def test_report_on_the_screen_has_figures_and_what_to_mend(files) -> None:
    """A person reads the accuracy, then the pairs that are confused."""
    said = run(files).stdout

    assert "75.0 %  (3 of 4)" in said
    assert "1 × banking answered as travel" in said


def test_predictions_are_one_line_a_row_in_the_files_order(files, tmp_path) -> None:
    """Every agent is in the shortlist, also where the answer is NONE."""
    out = tmp_path / "out.jsonl"
    run(files, "--predictions", str(out))
    found = [json.loads(line) for line in out.read_text().splitlines()]

    assert [one["id"] for one in found] == ["1", "2", "3", "4"]
    assert [one["agent"] for one in found[:3]] == ["banking", "travel", "NONE"]
    assert all(set(one["shortlist"]) == {"banking", "travel"} for one in found)
    assert found[2]["score"] < found[0]["score"]


@pytest.mark.parametrize(
    ("fail_under", "code"), [("75", 0), ("0.75", 0), ("76", 1), ("0.76", 1), ("1", 1), ("100", 1)]
)
def test_fail_under_takes_a_share_or_percent_and_gates(files, fail_under: str, code: int) -> None:
    """Up to 1 it is a share, above it percent; missed means exit code 1."""
    assert run(files, "--fail-under", fail_under).exit_code == code


def test_page_is_whole_loads_nothing_and_escapes_what_messages_say(files, tmp_path) -> None:
    """The page can be opened from an archive, and a message cannot run in it."""
    out = tmp_path / "report.html"
    run(files, "--html", str(out))
    text = out.read_text()
    page = Page()
    page.feed(text)

    assert page.open == []
    assert "script" not in page.seen
    assert not {"link", "img", "iframe"} & page.seen
    assert "&lt;script&gt;alert(1)" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "prefers-color-scheme: dark" in text


class Page(HTMLParser):
    """Which elements there are, and which stay open."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "rows.jsonl: no rows"),
        ('{"id": 1, "text": "x"}\n', "rows.jsonl:1: expected is missing"),
        ('{"id": 1, "text": "x", "expected": "NONE"}\n{"id"\n', "rows.jsonl:2: not JSON"),
    ],
)
def test_file_that_cannot_be_used_is_misuse_with_its_place(files, rows: str, said: str) -> None:
    """Empty, unlabelled, broken: exit code 2, where and what is right, and no report."""
    files[1].write_text(rows)
    answer = run(files, "--json")

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert said in answer.stderr


def test_missing_messages_and_an_unwritable_place_are_said_before_any_row_is_decided(
    files, tmp_path
) -> None:
    """Minutes of asking a model are not thrown away."""
    assert "cannot be read" in run((files[0], tmp_path / "none.jsonl")).stderr
    assert "cannot be written" in run(files, "--html", str(tmp_path / "no" / "x.html")).stderr


def test_provider_without_its_settings_is_misuse(files, monkeypatch) -> None:
    """The flags stand for the settings, and so do the errors."""
    monkeypatch.delenv("SIGNALBOX_MODEL__NAME", raising=False)
    answer = run(files, "--provider", "ollama")

    assert answer.exit_code == 2
    assert "SIGNALBOX_MODEL__NAME is not set" in answer.stderr


def test_calibration_file_is_used_instead_of_the_fleets(files, tmp_path) -> None:
    """With a threshold that nothing reaches, everything is NONE."""
    path = tmp_path / "calibration.yaml"
    path.write_text("none_below: 1.0\n")
    found = json.loads(run(files, "--calibration", str(path), "--json").stdout)

    assert found["agents"]["NONE"]["answered"] == 4
    assert found["calibration_used"]["none_below"] == 1.0
