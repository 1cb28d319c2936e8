"""Definitions that are wrong on a large scale: same names, too many, too long, bombs. An error with its place, nothing applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.definitions import loader
from signalbox.definitions.fleet import MAX_AGENTS, ActiveSet, Fleet
from signalbox.definitions.loader import load_agent, load_fleet, problems_in
from signalbox.definitions.specs import FleetPolicy
from signalbox.errors import DefinitionError
from tests.support.fleets import agent
from tests.unit.test_definitions import GOOD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet of one agent, `writer`."""
    (tmp_path / "fleet.yaml").write_text("name: test\n")
    (tmp_path / "writer.yaml").write_text(GOOD)
    return tmp_path


def refused(folder: Path) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        load_fleet(folder)
    assert str(caught.value) in [str(one) for one in problems_in(folder)]
    return caught.value


def test_two_agents_of_one_name_in_a_folder_point_at_the_second_name(folder):
    """The place is the name in the later file; the message names the earlier one."""
    (folder / "zzz.yaml").write_text("# the same\n" + GOOD)

    error = refused(folder)

    assert (error.path, error.line, error.column) == (folder / "zzz.yaml", 2, 7)
    assert str(folder / "writer.yaml") in error.problem


def test_two_fleets_with_one_agent_are_refused_and_change_nothing():
    """Names are unique over all fleets, whether they come together or one after the other."""
    one, other = (Fleet(FleetPolicy(name=name), {"a": agent("a", ["x"])}) for name in ("r", "s"))
    with pytest.raises(ValueError, match="'r' and 's'"):
        ActiveSet.of([one, other])

    active = ActiveSet.of([one])
    with pytest.raises(ValueError, match="belongs to fleet 'r'"):
        active.with_fleet(other)
    assert active.fleet_of == {"a": "r"}


def test_more_agents_than_can_be_active_are_refused_before_they_are_read(folder, monkeypatch):
    """Ten thousand files are counted, not parsed."""
    for number in range(10_000 - 1):
        (folder / f"a{number}.yaml").touch()
    monkeypatch.setattr(loader, "_agent", lambda *_: pytest.fail("read"))

    error = refused(folder)

    assert "10000 agents" in error.problem
    assert str(MAX_AGENTS) in error.hint


def test_applying_more_agents_than_can_be_active_is_refused(monkeypatch):
    """The bound holds for all fleets together; the set stays as it was."""
    monkeypatch.setattr("signalbox.definitions.fleet.MAX_AGENTS", 2)
    active = ActiveSet.of([Fleet(FleetPolicy(name="r"), {"a": agent("a", ["x"])})])
    more = Fleet(FleetPolicy(name="s"), {name: agent(name, ["x"]) for name in ("b", "c")})

    with pytest.raises(ValueError, match="3 agents would be active"):
        active.with_fleet(more)
    with pytest.raises(ValueError, match="fleets r, s have 3 agents"):
        ActiveSet.of([Fleet(FleetPolicy(name="r"), active.agents), more])


def test_description_of_a_megabyte_is_refused_by_its_size(folder):
    """The file is not read beyond what a definition may have."""
    text = GOOD.replace("Writes a text from a brief.", "word " * 200_000)
    (folder / "writer.yaml").write_text(text)

    error = refused(folder)

    assert f"{len(text)} bytes" in error.problem


def test_description_that_is_too_long_points_at_it_with_its_length(folder):
    """A hundred kilobytes fit the file and not the field; the message does not repeat them."""
    (folder / "writer.yaml").write_text(GOOD.replace("Writes a text from", "word " * 20_000))

    error = refused(folder)

    assert error.line == 2
    assert "characters" in error.problem
    assert "4000" in error.hint
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("schema", "column", "words"),
    [
        ("{properties: {a: {$ref: 'http://127.0.0.1:9/x'}}}", 35, "nothing is fetched"),
        ("{$ref: '#'}", 18, "without going into the data"),
        ("{properties: {a: {pattern: '^(?=a)(a+)+$'}}}", 38, "look-around"),
    ],
)
def test_dangerous_schema_points_into_the_schema(folder, schema, column, words):
    """Line and column are those of the reference or the pattern, inside the schema."""
    (folder / "writer.yaml").write_text(GOOD.replace("{type: object, required: [brief]}", schema))

    error = refused(folder)

    assert (error.line, error.column) == (5, column)
    assert words in str(error)


def test_shared_schemas_that_multiply_are_refused(folder):
    """Sixteen shared schemas that each use the next one ten times are not written out."""
    uses = "".join(
        f"  s{n}: {{anyOf: [{', '.join([f'{{$ref: fleet.yaml#/schemas/s{n + 1}}}'] * 10)}]}}\n"
        for n in range(15)
    )
    (folder / "fleet.yaml").write_text(f"name: test\nschemas:\n{uses}  s15: {{}}\n")
    (folder / "writer.yaml").write_text(
        GOOD.replace("{type: object, required: [brief]}", "{$ref: fleet.yaml#/schemas/s0}")
    )

    error = refused(folder)

    assert (error.path, error.line) == (folder / "writer.yaml", 5)
    assert "more than 50000 parts" in error.problem


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Writes a text from a brief.", "!secret x", "YAML tag"),
        ("Writes a text from a brief.", "!!binary aGk=", "YAML tag"),
        ("{type: object}", "[" * 100 + "]" * 100, "nested deeper"),
        ("{type: object}", "{a: " * 5000 + "1" + "}" * 5000, "nested deeper"),
        ("{type: object}", "&a [*a, *a]", ""),
        ("{type: object}", "{maximum: 0x" + "f" * 6000 + "}", "more than 64 bits"),
        ("{type: object}", "{enum: [-0x" + "f" * 6000 + "]}", "more than 64 bits"),
        ("{type: object}", "\n    ? 0x" + "f" * 6000 + "\n    : 1", "more than 64 bits"),
    ],
)
def test_yaml_that_is_no_plain_data_is_an_error_with_its_place(folder, old, new, words):
    """Tags, bottomless nesting, endless numbers and a value that holds itself are errors of ours, on the line where they stand."""
    (folder / "writer.yaml").write_text(GOOD.replace(old, new))

    error = refused(folder)

    assert error.line > 1
    assert words in str(error)


def test_alias_that_is_used_within_bounds_is_allowed(folder):
    """An anchor and its alias are plain YAML."""
    text = GOOD.replace("{type: object, required: [brief]}", "&s {type: object}")
    (folder / "writer.yaml").write_text(text.replace("schema: {type: object}\n", "schema: *s\n"))

    assert load_agent(folder / "writer.yaml").output.json_schema == {"type": "object"}
