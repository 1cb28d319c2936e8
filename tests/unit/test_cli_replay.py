"""`signalbox replay` as it is typed: JSON and page, and what it says of definitions and ranges that are wrong."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from signalbox.cli import session
from signalbox.cli.main import app
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from tests.support.fleets import message
from tests.support.recorded_run import RecordedRun

SDR = Path(__file__).resolve().parents[2] / "agent_definitions" / "sdr"
LEAD = {
    "name": "Ada Lovelace",
    "email": "ada@engines.example",
    "company_name": "Engines",
    "lead_source": "Webinar",
    "job_title": "Head of Data",
}
runner = CliRunner()


@pytest.fixture
def run(monkeypatch) -> RecordedRun:
    """A lead of the sdr fleet that was taken in, one that nobody takes, and the commands on that broker."""
    run = RecordedRun(ActiveSet.of([load_fleet(SDR)]))
    run.send(message("m-1", {"lead": LEAD}, conversation="ada"))
    run.send(message("x-1", {"<b>odd</b>": "<script>alert(1)</script>"}, conversation="<odd>"))
    monkeypatch.setattr(session, "open_broker", lambda _: run.broker)
    return run


@pytest.fixture
def without_ingestion(tmp_path) -> Path:
    """The sdr fleet without its first agent."""
    folder = tmp_path / "sdr"
    shutil.copytree(SDR, folder, ignore=shutil.ignore_patterns("lead_ingestion.yaml"))
    return folder


def test_replay_command_same_definitions_report_no_difference(run) -> None:
    """One JSON object with the promised fields; nothing else on stdout."""
    result = runner.invoke(app, ["replay", "--definitions", str(SDR), "--json"])

    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert value["total"] == value["same"] == 2
    assert value["conversations"] == []
    assert value["definitions"] == value["active_definitions"]
    assert {"changed", "unknown", "none_to_agent", "agent_to_none"} <= value.keys()
    assert {"tokens_before", "tokens_after"} <= value.keys()


def test_replay_command_tells_a_person_what_differs(run, without_ingestion) -> None:
    """Numbers, then message by message: then, now and why."""
    result = runner.invoke(app, ["replay", "--definitions", str(without_ingestion)])

    assert result.exit_code == 0, result.stderr
    assert "2 decisions: 1 same, 1 changed, 0 unknown" in result.stdout
    assert "lead_ingestion by contract → NONE by contract" in result.stdout


class _Page(HTMLParser):
    """Everything a browser would fetch or run, and whether the tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in {"src", "href", "srcset"}]
        if tag in {"script", "link", "img", "iframe"}:
            self.fetched.append(tag)
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_replay_page_stands_alone_and_escapes_what_it_shows(
    run, without_ingestion, tmp_path
) -> None:
    """No network, no script, balanced tags, light and dark; what strangers wrote is text."""
    out = tmp_path / "page.html"

    result = runner.invoke(
        app, ["replay", "--definitions", str(without_ingestion), "--html", str(out)]
    )

    assert result.exit_code == 0, result.stderr
    page = out.read_text()
    parser = _Page()
    parser.feed(page)
    assert (parser.fetched, parser.open) == ([], [])
    assert "prefers-color-scheme: dark" in page
    assert re.search(r"@media \(max-width", page)
    assert "lead_ingestion" in page
    assert "<script" not in page


def test_replay_page_escapes_a_conversation_named_like_markup(run, tmp_path) -> None:
    """A conversation id comes from outside."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "fleet.yaml").write_text("name: odd\n")
    (folder / "taker.yaml").write_text(
        "name: taker\ndescription: Takes all.\n"
        "input: {description: Anything., schema: {type: object}}\n"
        "output: {type: taken.up, description: Nothing., schema: {type: object}}\n"
        "handler: {python: 'a.b:c'}\n"
    )
    out = tmp_path / "page.html"

    result = runner.invoke(app, ["replay", "--definitions", str(folder), "--html", str(out)])

    assert result.exit_code == 0, result.stderr
    assert "&lt;odd&gt;" in out.read_text()
    assert "<odd>" not in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--definitions", "nowhere"], "nowhere is no folder"),
        (["--definitions", str(SDR.parent.parent / "docs")], "no fleet.yaml"),
        (["--definitions", str(SDR), "--from", "monday"], "--from 'monday'"),
        (["--definitions", str(SDR), "--from", "offset:99=0"], "no partition 99"),
        (["--definitions", str(SDR), "--from", "latest", "--to", "earliest"], "is after --to"),
        (["--definitions", str(SDR), "--from", "2031-01-01T00:00:00Z"], "no message"),
        (["--definitions", str(SDR), "--model", "llama3.2"], "write ollama/NAME"),
        (["--definitions", str(SDR), "--html", "no/such/page.html"], "there is no folder no/such"),
    ],
)
def test_replay_command_given_nonsense_says_what_is_right(run, arguments, told) -> None:
    """One error with the remedy, no traceback, nothing on stdout, a code that is not success."""
    result = runner.invoke(app, ["replay", *arguments])

    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_replay_command_with_a_broken_definition_names_the_place(run, without_ingestion) -> None:
    """The same words as `agents validate`: file, line, column, what is right."""
    (without_ingestion / "broken.yaml").write_text("name: Broken Name\n")

    result = runner.invoke(app, ["replay", "--definitions", str(without_ingestion)])

    assert result.exit_code == 1
    assert re.search(r"broken\.yaml:1:\d+: ", result.stderr)
