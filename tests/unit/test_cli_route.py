"""`agents route`: who would act on some data and what keeps the others from it, without a broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.memory import MemoryBroker
from signalbox.cli import session
from signalbox.cli.main import app

runner = CliRunner()
SDR = str(Path(__file__).parents[2] / "agent_definitions" / "sdr")
LEAD = {
    "name": "Ada",
    "email": "ada@example.com",
    "company_name": "Engines",
    "lead_source": "Webinar",
    "job_title": "Director",
}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    """Whoever asks for a broker fails."""
    monkeypatch.setattr(session, "open_broker", lambda _: pytest.fail("a broker was asked for"))


def asked(data: object, *more: str):
    arguments = ["agents", "route", "--definitions", SDR, "--data", json.dumps(data), *more]
    return runner.invoke(app, arguments)


def test_route_shows_who_would_act_and_what_the_others_lack():
    """The taker comes first, then the nearest misses with the violated field; nothing is sent."""
    result = asked({"lead": LEAD})

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].startswith("→ lead_ingestion   contract:")
    assert lines[1] == "  ✓ lead_ingestion"
    assert "report: required" in next(line for line in lines if "✗ lead_scoring" in line)


def test_route_of_a_sender_applies_its_handoffs():
    """As the answer of `send_email`, which hands off to nobody, the same data goes to nobody; exit code 1."""
    result = asked({"lead": LEAD}, "--sender", "send_email", "--json")

    said = json.loads(result.stdout)
    assert (result.exit_code, said["agent"]) == (1, "NONE")
    assert "hand off to nobody" in said["reason"]
    assert said["candidates"][0]["agent"] == "lead_ingestion"


def test_route_of_a_reply_says_that_a_model_would_choose():
    """Where two contracts accept the data, the model is named as the one to choose and is not asked."""
    result = asked({"lead": LEAD, "reply": {"text": "Later."}}, "--json")

    said = json.loads(result.stdout)
    assert (result.exit_code, said["agent"], said["path"]) == (0, None, "model")
    assert (said["accepted_total"], said["rejected_total"]) == (2, 3)


def test_route_reads_data_from_a_file(tmp_path):
    """`@FILE` holds the data."""
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"lead": LEAD}))

    result = runner.invoke(
        app, ["agents", "route", "--definitions", SDR, "--data", f"@{path}", "--json"]
    )

    assert json.loads(result.stdout)["agent"] == "lead_ingestion"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "{"], "not JSON"),
        (["--data", "[1]"], "JSON list"),
        (["--data", "@/no/such/file"], "No such file"),
        (["--data", "{}", "--sender", "ghost"], "no active agent"),
        (["--data", "{}", "--type", "Not A Type"], "--type"),
    ],
)
def test_route_with_wrong_input_is_misuse(arguments, words):
    """Exit code 2, with what is wrong."""
    result = runner.invoke(app, ["agents", "route", "--definitions", SDR, *arguments])

    assert result.exit_code == 2
    assert words in result.stderr


def test_route_without_definitions_asks_the_registry(monkeypatch):
    """Without a folder the active definitions decide; of none there is nobody to act."""
    broker = MemoryBroker()
    broker.create_topic("agent_registry")
    monkeypatch.setattr(session, "open_broker", lambda _: broker)

    result = runner.invoke(app, ["agents", "route", "--data", "{}"])

    assert result.exit_code == 1
    assert "there are no agents" in result.stdout
