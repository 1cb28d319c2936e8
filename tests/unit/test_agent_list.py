"""Definitions in one file, and a calibration kept with its fleet."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.definitions.agent_list import load_calibration, load_definitions
from signalbox.definitions.calibration_file import with_calibration
from signalbox.definitions.contract import Contract
from signalbox.definitions.specs import Calibration, FleetFile
from signalbox.definitions.yaml_file import YamlFile
from signalbox.errors import DefinitionError

SDR = Path(__file__).parents[2] / "agent_definitions" / "sdr"
TWO = """\
agents:
- name: one
  description: Does one thing.
  input: Something.
- name: two
  description: Does another.
  input: {description: An order., schema: {$ref: "fleet.yaml#/schemas/order"}}
schemas:
  order: {type: object, required: [order]}
calibration: {none_below: 0.4}
"""


def load_calibration_of(path: Path) -> Calibration:
    file = YamlFile.read(path)
    return file.validated(FleetFile, file.plain).calibration


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agents.yaml"
    path.write_text(text)
    return path


def test_plain_text_input_takes_any_text_and_a_schema_stays_a_contract(tmp_path) -> None:
    """Both kinds stand side by side; handler, output and examples may be absent."""
    fleet = load_definitions(written(tmp_path, TWO))
    takes = {
        name: Contract(agent.input.json_schema).accepts for name, agent in fleet.agents.items()
    }

    assert takes["one"]({"text": "x"})
    assert not takes["one"]({"order": 1})
    assert takes["two"]({"order": 1})
    assert fleet.policy.calibration.none_below == 0.4


def test_list_has_one_subscription_for_all_its_agents(tmp_path) -> None:
    """As in fleet.yaml: whoever says nothing of his own hears by it; filters keep what they say."""
    told = "subscribe: {filters: [{not: {event_type: x.*}}]}\n"
    fleet = load_definitions(written(tmp_path, told + TWO))

    for agent in fleet.agents.values():
        assert agent.subscribe is not None
        assert agent.subscribe.filters[0].not_ is not None


def test_folder_is_loaded_as_the_stack_loads_it() -> None:
    """A fleet is evaluated as it runs."""
    assert set(load_definitions(SDR).agents) >= {"lead_ingestion", "send_email"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\n", "agents.yaml:1:1: no list `agents:`"),
        ("agents: []\n", "agents.yaml:1:1: no list `agents:`"),
        (
            "agents:\n- name: One\n  description: x\n",
            "agents.yaml:2:9: agents.0.name: got 'One'",
        ),
        (
            "agents:\n- name: one\n",
            "agents.0.description is missing",
        ),
        (
            "agents:\n- {name: one, description: x}\n- {name: one, description: y}\n",
            "agents.yaml:3:10: agent 'one' is also declared on line 2; names are unique",
        ),
        (
            "agents:\n- {name: one, description: x, color: red}\n",
            "agents.0.color is not a field",
        ),
        (
            "agents:\n- {name: one, descriptoin: x}\n",
            "agents.0.description is missing",
        ),
        (
            "agents:\n- {name: one, description: x, example: [y]}\n",
            "agents.yaml:2:31: agents.0.example is not a field of a definition; did you mean 'examples'?",
        ),
        (
            "agents:\n- {name: one, description: x, examples: }\n",
            "a list is needed, got nothing; write `[…]`, or lines that begin with `- `, or leave the key out",
        ),
        (
            "calibration: {semantic: {non_below: 1}}\nagents:\n- {name: one, description: x}\n",
            "did you mean 'none_below'?",
        ),
        ("- name: one\n  description: x\n", "a mapping is needed, got a list"),
    ],
)
def test_mistake_in_a_list_is_named_with_its_place(tmp_path, text: str, said: str) -> None:
    """What is wrong, where, and what is right."""
    with pytest.raises(DefinitionError) as raised:
        load_definitions(written(tmp_path, text))

    assert said in str(raised.value)


def test_agent_with_empty_keys_takes_free_text(tmp_path) -> None:
    """`input:` with nothing behind it says as much as no `input:`."""
    text = "agents:\n- {name: one, description: x, input: , output: }\n"

    (one,) = load_definitions(written(tmp_path, text)).agents.values()

    assert one.input.contract.accepts({"text": "hello"})
    assert not one.input.contract.accepts({"number": 1})


def test_policy_file_by_itself_is_answered_with_its_folder() -> None:
    """The slip is common: fleet.yaml is not the fleet."""
    with pytest.raises(DefinitionError, match=r"give its folder, .*sdr"):
        load_definitions(SDR / "fleet.yaml")


def test_calibration_is_replaced_and_nothing_else(tmp_path) -> None:
    """Comments, order and style of everything around stay, to the byte."""
    path = tmp_path / "fleet.yaml"
    path.write_text((SDR / "fleet.yaml").read_text())
    before = path.read_text().splitlines()
    path.write_text(with_calibration(path, Calibration(none_below=0.31)))
    after = path.read_text().splitlines()
    place = next(n for n, line in enumerate(before) if line.startswith("calibration:"))
    added = len(after) - len(before) + 1

    assert after[place : place + 2] == ["calibration:", "  none_below: 0.31"]
    assert before[:place] + before[place + 1 :] == after[:place] + after[place + added :]
    assert load_calibration_of(path).none_below == 0.31


def test_calibration_is_added_where_there_was_none(tmp_path) -> None:
    """At the end, on a line of its own, and read back."""
    path = written(tmp_path, "name: x # why\nagents:\n- {name: one, description: x}")
    path.write_text(with_calibration(path, Calibration(none_below=0.31)))

    assert path.read_text().startswith("name: x # why\nagents:\n- {name: one, description: x}\n")
    assert load_definitions(path).policy.calibration.none_below == 0.31


@pytest.mark.parametrize(
    "text", ["{name: x, calibration: {none_below: 0.1}}\n", "name: x\nmore: 1\n...\n"]
)
def test_file_in_which_the_key_cannot_be_placed_is_refused(tmp_path, text: str) -> None:
    """Nothing is written that would read differently."""
    with pytest.raises(DefinitionError):
        with_calibration(written(tmp_path, text), Calibration(none_below=0.31))


def test_calibration_by_itself_is_checked_like_any_definition(tmp_path) -> None:
    """A wrong value has its place."""
    path = tmp_path / "calibration.yaml"
    path.write_text("none_below: 7\n")

    with pytest.raises(DefinitionError, match=r"calibration.yaml:1:13: none_below: got 7"):
        load_calibration(path)


def test_list_of_more_agents_than_can_be_active_is_refused_at_the_first_too_many(
    tmp_path, monkeypatch
) -> None:
    """What can never be active is not measured for an hour; the place is where to cut."""
    monkeypatch.setattr("signalbox.definitions.agent_list.MAX_AGENTS", 2)
    path = written(tmp_path, "agents:\n" + "".join(f"- name: a{n}\n" for n in range(3)))

    with pytest.raises(DefinitionError, match=r":4:3: 3 agents in this list; at most 2"):
        load_definitions(path)
