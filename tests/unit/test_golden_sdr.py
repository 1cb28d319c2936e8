"""The sdr fleet on its golden messages: all right, and no message on an edge that the definitions forbid."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app
from signalbox.definitions.contract import Contract
from signalbox.definitions.loader import load_fleet

SDR = Path(__file__).parents[2] / "agent_definitions" / "sdr"
GOLDEN = SDR / "golden" / "messages.jsonl"
FLEET = load_fleet(SDR)
ROWS = {row["id"]: row for row in map(json.loads, GOLDEN.read_text().splitlines())}


@pytest.fixture(scope="module", params=["minilm", "lexical"])
def evaluation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, dict[str, str]]:
    """The command's answer, and which agent each row went to; by vectors, and by words alone."""
    out = tmp_path_factory.mktemp("golden") / "predictions.jsonl"
    arguments = ["--definitions", str(SDR), "--messages", str(GOLDEN), "--predictions", str(out)]
    answer = CliRunner().invoke(
        app,
        ["eval", *arguments, "--policy", "contract_first", "--fail-under", "100", "--json"],
        env={"SIGNALBOX_EMBEDDER__PROVIDER": request.param},
    )
    went = {one["id"]: one["agent"] for one in map(json.loads, out.read_text().splitlines())}
    return answer, went


def test_every_golden_message_goes_where_it_must(evaluation) -> None:
    """The gate: 100 % with contract_first and the embedded model, with its extra and without."""
    answer, _ = evaluation
    found = json.loads(answer.stdout)

    assert answer.exit_code == 0, found["confused"]
    assert found["right"] == found["rows"] == len(ROWS) >= 60
    assert found["forbidden_edges"] == []


def test_no_adversarial_message_takes_a_forbidden_edge(evaluation) -> None:
    """Judged by contracts and allowlists as they stand in the files, whatever the labels say."""
    _, went = evaluation
    adversarial = [row for row in ROWS.values() if row["kind"] == "adversarial"]
    assert adversarial
    for row in adversarial:
        agent = went[row["id"]]
        if agent == "NONE":
            continue
        handoffs = FLEET.agents[row["from"]].handoffs if "from" in row else None
        assert handoffs is None or agent in handoffs, row["id"]
        assert Contract(FLEET.agents[agent].input.json_schema).accepts(row["data"]), row["id"]


def test_golden_messages_cover_every_hop_of_the_fleet() -> None:
    """Each agent's answer is in the set, on each edge its allowlist has, and each agent is reached."""
    edges = {
        (row.get("from", "outside"), row["expected"])
        for row in ROWS.values()
        if row["kind"] == "hop"
    }
    wanted = {
        (name, other)
        for name, agent in FLEET.agents.items()
        for other in agent.handoffs or ("NONE",)
    }

    assert wanted <= edges
    assert {
        ("outside", name) for name in ("lead_ingestion", "active_outreach", "nurture_campaign")
    } <= edges


def test_golden_messages_of_agents_fit_what_the_agents_promise() -> None:
    """A hop's data is what its sender's output contract allows, so the hop can really happen."""
    for row in ROWS.values():
        if row["kind"] == "hop" and "from" in row:
            output = Contract(FLEET.agents[row["from"]].output.json_schema)
            assert output.violations(row["data"]) == (), row["id"]


def test_golden_set_has_every_kind_in_number() -> None:
    """A set of hops alone would pass without proving anything."""
    kinds = Counter(row["kind"] for row in ROWS.values())

    assert set(kinds) == {"hop", "ambiguous", "adversarial", "out_of_scope"}
    assert min(kinds.values()) >= 8
