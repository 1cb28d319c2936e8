"""Definitions and fleets: loading, errors with their place, digests, and what goes to the registry."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalbox.definitions.contract import Contract
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_agent, load_fleet
from signalbox.errors import DefinitionError
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from tests.support.fleets import agent, rulebook

GOOD = """\
name: writer
description: Writes a text from a brief.
input:
  description: A brief.
  schema: {type: object, required: [brief]}
output:
  type: text.written
  description: The text.
  schema: {type: object}
handler: {python: "agents.sdr.writer:write"}
limits:
  timeout_seconds: 30
"""


def refused(tmp_path: Path, text: str | bytes) -> DefinitionError:
    path = tmp_path / "writer.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DefinitionError) as caught:
        load_agent(path)
    return caught.value


def test_definition_loads_with_its_defaults(tmp_path):
    """What is not said has the documented default."""
    path = tmp_path / "writer.yaml"
    path.write_text(GOOD)

    definition = load_agent(path)

    assert definition.limits.max_concurrent == 10
    assert definition.handoffs is None


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"),
    [
        ("timeout_seconds: 30", "timeout_seconds: -5", 12, 20, "greater than 0"),
        ("timeout_seconds: 30", "timeout: 30", 12, 12, "did you mean 'timeout_seconds'?"),
        ("limits:", "colour: 30\nlimits:", 11, 9, "its fields are name, description, input"),
        ("limits:\n  timeout_seconds: 30", "limits: 30", 11, 9, "got a number; its fields are"),
        ("limits:", "handoffs: x\nlimits:", 11, 11, "a list is needed, got a text"),
        ("name: writer", "name: ../etc", 1, 7, "small letters"),
        ("name: writer", "name: Text-Writer", 1, 7, "like text_writer"),
        ("text.written", "Written", 7, 9, "like lead.scored"),
        ("type: object", "type: objekt", 5, 18, "type is one of object, array"),
        ("required: [brief]", "pattern: 'a(b'", 5, 35, "unterminated subpattern at position 1"),
        ("name: writer", "name: orchestrator", 1, 7, "reserved"),
        ("description: Writes a text from a brief.\n", "", 1, 1, "description is missing"),
        ("text.written", "task.failed", 7, 9, "type of the engine"),
        ("required: [brief]", "required: brief", 5, 36, "not a JSON Schema"),
        ('"agents.sdr.writer:write"', '"os.system"', 10, 19, "package.module:function"),
        ("name: writer", "name: writer\nname: again", 2, 1, "duplicate key"),
        ("name: writer", "name: !!python/object:os.system x", 1, 7, "tag"),
        ("name: writer", "name: [writer", 2, 12, ""),
    ],
)
def test_definition_error_points_at_its_place(tmp_path, old, new, line, column, words):
    """The message says path, line and column of the wrong value, and what is right."""
    error = refused(tmp_path, GOOD.replace(old, new))

    assert (error.line, error.column) == (line, column)
    assert words in str(error)
    assert str(error).startswith(f"{tmp_path / 'writer.yaml'}:{line}:{column}: ")


def test_definition_alias_bomb_is_refused_before_it_is_built(tmp_path):
    """Nested aliases that would expand to billions of nodes are counted, not expanded."""
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )

    assert "aliases" in str(refused(tmp_path, bomb))


def test_fleet_that_is_not_there_or_a_file_is_said_so(tmp_path):
    """A mistyped folder is not a folder without fleet.yaml."""
    file = tmp_path / "agents.yaml"
    file.write_text("agents: []\n")

    with pytest.raises(DefinitionError, match="no such folder"):
        load_fleet(tmp_path / "nowhere")
    with pytest.raises(DefinitionError, match="a file, and no fleet's folder"):
        load_fleet(file)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"- 1\n", b"x" * 300_000])
def test_definition_that_is_no_mapping_is_refused(tmp_path, content):
    """Binary, empty, list and oversized files are errors of ours, not tracebacks."""
    assert refused(tmp_path, content).line == 1


def test_definition_number_like_words_stay_words(tmp_path):
    """YAML 1.2: `NO` is a word, not false."""
    path = tmp_path / "writer.yaml"
    path.write_text(GOOD.replace("description: A brief.", "description: NO"))

    assert load_agent(path).input.description == "NO"


def test_fleet_without_agents_is_refused(tmp_path):
    """A fleet folder needs fleet.yaml and at least one agent."""
    with pytest.raises(DefinitionError, match=r"fleet\.yaml"):
        load_fleet(tmp_path)
    (tmp_path / "fleet.yaml").write_text("name: empty\n")
    with pytest.raises(DefinitionError, match="no agents"):
        load_fleet(tmp_path)


def test_shared_schema_is_inlined_with_what_stands_beside_it(tmp_path):
    """A schema of fleet.yaml is written once and used by name; a keyword beside the reference is kept."""
    (tmp_path / "fleet.yaml").write_text(
        "name: test\nschemas:\n  brief: {type: object, required: [text], properties: {text: {$ref: 'fleet.yaml#/schemas/text'}}}\n"
        "  text: {type: string, maxLength: 9}\n"
    )
    reference = "{$ref: 'fleet.yaml#/schemas/brief', maxProperties: 1}"
    path = tmp_path / "writer.yaml"
    path.write_text(GOOD.replace("{type: object, required: [brief]}", reference))

    definition = load_agent(path)

    assert definition.input.json_schema == {
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string", "maxLength": 9}},
        "maxProperties": 1,
    }
    assert "schemas" not in load_fleet(tmp_path).policy.as_json()


@pytest.mark.parametrize(
    ("schemas", "words"),
    [("{}", "declares the schemas none"), ("{b: {$ref: 'fleet.yaml#/schemas/b'}}", "circle")],
)
def test_shared_schema_that_cannot_be_resolved_points_at_the_reference(tmp_path, schemas, words):
    """An unknown or circular reference is an error at its line, with what there is."""
    (tmp_path / "fleet.yaml").write_text(f"name: test\nschemas: {schemas}\n")

    error = refused(
        tmp_path,
        GOOD.replace("{type: object, required: [brief]}", "{$ref: 'fleet.yaml#/schemas/b'}"),
    )

    assert error.line == 5
    assert words in str(error)


def test_digest_changes_with_the_definition_and_only_then():
    """Equal definitions have equal digests; one word more makes another one."""
    one, same, other = agent("a", ["x"]), agent("a", ["x"]), agent("a", ["x"], description="Else.")

    assert one.digest == same.digest != other.digest


def test_registry_records_rebuild_the_same_set():
    """What is published to the registry is read back as the same set, and not before the last part is there."""
    active = _active(agent("a", ["x"]), agent("b", ["y"]))
    records, manifest = active.records(datetime.now(UTC))
    by_key = {record.key: record for record in records}

    assert ActiveSet.from_records(manifest, by_key) == active
    assert ActiveSet.from_records(manifest, dict(list(by_key.items())[:1])) is None


def test_set_with_an_agent_of_two_fleets_is_refused():
    """Names are unique over all fleets."""
    active = _active(agent("a", ["x"]))
    fleet = next(iter(active.policies.values()))

    with pytest.raises(KeyError):
        active.without("ghost")
    assert active.without("a").agents == {}
    assert fleet.name == "test"


def test_rulebook_keeps_three_versions():
    """A message in flight finds its version among the last three; older ones are forgotten."""
    versions = [_rules(agent("a", ["x"], description=f"Version {n}.")) for n in range(4)]
    book = Rulebook()
    for rules in versions:
        book = book.activate(rules)

    assert book.current is versions[3]
    assert book.version(versions[1].digest) is versions[1]
    assert book.version(versions[0].digest) is None


def test_contract_violations_are_short():
    """A violation names the field and what it needs, not a dump."""
    schema = {
        "type": "object",
        "required": ["report"],
        "additionalProperties": False,
        "properties": {
            "report": {},
            "score": {"type": "object", "properties": {"next_step": {"const": "Nurture"}}},
            "n": {"type": "integer"},
            "kind": {"enum": ["a", "b"]},
        },
    }
    found = Contract(schema).violations({"score": {"next_step": "x"}, "n": "1", "kind": 3, "z": 1})

    assert sorted(found) == [
        "kind: must be one of ['a', 'b']",
        "n: wrong type",
        "report: required",
        "score.next_step: must be 'Nurture'",
        "z: not expected",
    ]


def test_contract_that_refers_outside_itself_is_refused():
    """A $ref over the network is never followed."""
    with pytest.raises(ValueError, match="self-contained"):
        Contract({"$ref": "http://127.0.0.1:9/schema.json"})


def _active(*agents):
    rules = rulebook(*agents).current
    assert rules is not None
    from signalbox.definitions.fleet import Fleet
    from signalbox.definitions.specs import FleetPolicy

    return ActiveSet.of([Fleet(FleetPolicy(name="test"), {a.name: a for a in agents})])


def _rules(*agents):
    return Rules.compile(_active(*agents), EnginePolicy())


FOR_ALL = """\
name: desk
subscribe:
  priority: 2
  filters:
  - {event_type: [system.coordination.*, agent.lifecycle.*]}
"""


def desk(tmp_path: Path, head: str, **more: str) -> Path:
    """A fleet's folder: `head` as its fleet.yaml, and for each name a copy of the writer with more lines."""
    (tmp_path / "fleet.yaml").write_text(head)
    for name, lines in more.items():
        (tmp_path / f"{name}.yaml").write_text(GOOD.replace("writer", name, 1) + lines)
    return tmp_path


def test_fleet_s_subscription_is_that_of_every_agent_that_has_none(tmp_path):
    """Its agents listen from the moment they join; one with a word of its own, be it null, listens to that."""
    own = "subscribe: {role: listener, filters: [{event_type: text.*}]}"
    folder = desk(tmp_path, FOR_ALL, plain="", own=own, deaf="subscribe: null")
    agents = load_fleet(folder).agents

    plain, deaf = agents["plain"].subscribe, agents["deaf"].subscribe
    assert plain is not None
    assert (plain.priority, agents["plain"].is_candidate) == (2, True)
    assert (agents["own"].is_candidate, deaf) == (False, None)
    assert load_agent(folder / "plain.yaml") == agents["plain"]


def test_fleet_s_subscription_travels_in_the_definitions(tmp_path):
    """What goes to the registry is whole: the running system hears by it without the file, and a change is a new version."""
    before = ActiveSet.of([load_fleet(desk(tmp_path, "name: desk", plain=""))])
    after = ActiveSet.of([load_fleet(desk(tmp_path, FOR_ALL, plain=""))])
    parts, manifest = after.records(datetime(2026, 1, 1, tzinfo=UTC))
    carried = ActiveSet.from_records(manifest, {one.key: one for one in parts})

    assert carried is not None
    assert carried.agents["plain"].subscribe == after.agents["plain"].subscribe
    assert before.agents["plain"].digest != after.agents["plain"].digest
    assert "subscribe" not in after.policies["desk"].as_json()


def test_fleet_s_subscription_that_is_wrong_is_told_in_its_file(tmp_path):
    """The error stands where it was written, not at the agents."""
    head = FOR_ALL.replace("priority: 2", "priority: 20")
    with pytest.raises(DefinitionError, match=r"fleet\.yaml:3:13: .*less than or equal to 10"):
        load_fleet(desk(tmp_path, head, plain=""))
