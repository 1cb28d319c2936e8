"""Definitions from `agent_registry`: when a manifest becomes active, and what is ignored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson
import pytest

from flink_jobs.operators.definitions import HISTORY_KEY, Definitions
from signalbox.contracts.liveness import LOADS_KEY, Load, loads_json
from signalbox.contracts.registry import MANIFEST_KEY
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.registry_state import RegistryState
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.routing.rules import EnginePolicy, Rules
from tests.support.fleets import agent


class FakeParts(dict[str, bytes]):
    """Broadcast state as a dictionary."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value

    def remove(self, key: str) -> None:
        self.pop(key, None)


def active_set(*agents: AgentDefinition) -> ActiveSet:
    """One fleet of `agents`."""
    policy = FleetPolicy.model_validate({"name": "test"})
    return ActiveSet.of([Fleet(policy, {one.name: one for one in agents})])


def records_of(active: ActiveSet) -> list[tuple[str, bytes]]:
    """What is on the topic after `active` was applied, the manifest last."""
    records, manifest = active.records(datetime(2026, 1, 1, tzinfo=UTC))
    return [
        *((record.key, record.to_json()) for record in records),
        (MANIFEST_KEY, manifest.to_json()),
    ]


def taken(
    records: Iterable[tuple[str | None, bytes | None]], parts: FakeParts | None = None
) -> Definitions:
    """A subtask that has read `records`."""
    definitions = Definitions(EnginePolicy())
    parts = FakeParts() if parts is None else parts
    for key, value in records:
        definitions.take(key, value, parts)
    return definitions


FIRST = active_set(agent("alpha", ["a"]))
SECOND = active_set(agent("alpha", ["a"]), agent("beta", ["b"]))


def test_definitions_loads_are_known_until_others_come_and_what_is_none_changes_nothing() -> None:
    """How agents do comes by the same broadcast; it is in memory only, because it is told anew within seconds."""
    parts = FakeParts()
    told = {"alpha": Load(0.5, 1.0, 200)}
    definitions = taken([*records_of(FIRST), (LOADS_KEY, loads_json(told))], parts)
    definitions.take(LOADS_KEY, b"[1]", parts)

    assert definitions.rulebook.loads == told
    assert LOADS_KEY not in parts
    definitions.take(LOADS_KEY, loads_json({}), parts)
    assert definitions.rulebook.loads == {}


def test_definitions_manifest_with_all_parts_is_active() -> None:
    """After the last record of an `apply` its agents decide."""
    current = taken(records_of(SECOND)).rulebook.current

    assert current is not None
    assert current.digest == SECOND.digest
    assert set(current.agents) == {"alpha", "beta"}


def test_definitions_part_missing_the_old_manifest_stays_active() -> None:
    """A half-applied change is never seen, in whatever order the topic gives it."""
    *parts, manifest = records_of(SECOND)
    definitions = taken([*records_of(FIRST), manifest, *parts[:-1]])
    assert definitions.rulebook.current is not None
    assert definitions.rulebook.current.digest == FIRST.digest

    completed = taken([*records_of(FIRST), manifest, *parts])
    assert completed.rulebook.current is not None
    assert completed.rulebook.current.digest == SECOND.digest


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        ("alpha@1", None),
        (MANIFEST_KEY, None),
        (MANIFEST_KEY, b"{nonsense"),
        (MANIFEST_KEY, b'{"digest": "x", "agents": {"../x": "y"}, "fleets": {}}'),
        ("alpha@1", b"\xff\xfe"),
        ("somebody@else", records_of(FIRST)[0][1]),
        ("active_manifests", b"[]"),
    ],
)
def test_definitions_garbage_on_the_topic_is_ignored(key: str | None, value: bytes | None) -> None:
    """Tombstones, broken JSON, wrong keys and our own state's name change nothing and raise nothing."""
    definitions = taken([*records_of(FIRST), (key, value)])

    assert definitions.rulebook.current is not None
    assert definitions.rulebook.current.digest == FIRST.digest


def test_definitions_schema_that_does_not_compile_keeps_the_old_manifest() -> None:
    """A contract that is no JSON Schema is refused as a whole; what ran goes on."""
    broken = active_set(agent("alpha", ["a"]))
    records = [
        (key, value.replace(b'"object"', b'"no such type"')) for key, value in records_of(broken)
    ]
    records = [(key, value.replace(broken.digest.encode(), b"other")) for key, value in records]
    definitions = taken([*records_of(SECOND), *records])

    assert definitions.rulebook.current is not None
    assert definitions.rulebook.current.digest == SECOND.digest


def test_definitions_tombstone_of_a_part_in_use_does_not_take_it_away() -> None:
    """What the active manifest names survives a tombstone, also across a restart."""
    parts = FakeParts()
    key = records_of(FIRST)[0][0]
    taken([*records_of(FIRST), (key, None)], parts)
    restored = Definitions(EnginePolicy())
    restored.restore(parts)

    assert restored.rulebook.current is not None


def test_definitions_restored_keep_the_last_three_versions_in_order() -> None:
    """After a restore the same version is current, and messages in flight still find the two before it."""
    sets = [active_set(agent("alpha", ["a"]), agent(f"extra_{n}", [f"x{n}"])) for n in range(5)]
    parts = FakeParts()
    before = taken((record for one in sets for record in records_of(one)), parts)
    after = Definitions(EnginePolicy())
    after.restore(parts)

    for definitions in (before, after):
        assert definitions.rulebook.current is not None
        assert definitions.rulebook.current.digest == sets[4].digest
        kept = [version.digest for version in definitions.rulebook.earlier]
        assert kept == [sets[3].digest, sets[2].digest]
    assert len(orjson.loads(parts[HISTORY_KEY])) == 3


def test_definitions_same_manifest_twice_compiles_once() -> None:
    """Reading a manifest again changes nothing."""
    parts = FakeParts()
    definitions = taken(records_of(FIRST), parts)
    current = definitions.rulebook.current
    for key, value in records_of(FIRST):
        definitions.take(key, value, parts)

    assert definitions.rulebook.current is current


def test_definitions_manifest_going_back_to_an_earlier_set_is_active_again() -> None:
    """Removing what was added makes the first set current again, each version kept once."""
    definitions = taken([*records_of(FIRST), *records_of(SECOND), *records_of(FIRST)])

    assert definitions.rulebook.current is not None
    assert definitions.rulebook.current.digest == FIRST.digest
    assert [version.digest for version in definitions.rulebook.earlier] == [SECOND.digest]


def changed(
    before: RegistryState, after: ActiveSet, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
) -> tuple[RegistryState, list[tuple[str, bytes | None]]]:
    """The registry after `after` was applied, and what that put on the topic."""
    state = before.activated(after, removed_at=at)
    records = state.records_since(before, {}, at)
    return state, [(key, None if one is None else one.to_json()) for key, one in records]


def test_definitions_removed_agent_is_remembered_until_it_is_applied_again() -> None:
    """What it was survives further changes, a restore and the tombstone of its definition; applied again it is active only."""
    state, first = changed(RegistryState.empty(), SECOND)
    state, second = changed(state, active_set(agent("alpha", ["a"])))
    parts = FakeParts()
    taken([*first, *second], parts)
    taken([(f"beta@{SECOND.agents['beta'].digest}", None)], parts)
    for number in range(4):
        more = active_set(agent("alpha", ["a"]), agent(f"extra_{number}", [f"x{number}"]))
        state, records = changed(state, more)
        taken(records, parts)

    restored = Definitions(EnginePolicy())
    restored.restore(parts)
    assert restored.rulebook.retired["beta"] == SECOND.agents["beta"]
    assert all("beta" not in rules.agents for rules in restored.rulebook.earlier)

    state, back = changed(state, SECOND)
    for key, value in back:
        restored.take(key, value, parts)
    assert restored.rulebook.current is not None
    assert "beta" in restored.rulebook.current.agents
    assert "beta" not in restored.rulebook.retired


@pytest.mark.parametrize("value", [b"{nonsense", b'{"name": "../x"}', b"\xff"])
def test_definitions_unreadable_removal_is_ignored(value: bytes) -> None:
    """Whatever stands under such a key, nothing changes and nothing is raised."""
    definitions = taken([*records_of(FIRST), ("retired/alpha", value)])

    assert definitions.rulebook.retired == {}


def test_state_fleet_of_a_removed_agent_keeps_its_policy() -> None:
    """What its last agents still answer completes as the fleet says; without anybody to answer the policy goes too."""
    desk = Fleet(
        FleetPolicy(name="desk", completes_on=("desk.done",)), {"clerk": agent("clerk", ["t"])}
    )
    start, _ = changed(RegistryState.empty(), FIRST)
    state, _ = changed(start, start.active.with_fleet(desk))
    state, _ = changed(state, state.active.without("clerk"))
    assert list(state.active.policies) == ["test", "desk"]
    assert Rules.compile(state.active, EnginePolicy()).completes_on == {"desk.done"}

    later, _ = changed(state, state.active, datetime(2026, 1, 9, tzinfo=UTC))
    assert later == start


def test_definitions_parts_that_come_after_their_manifest_are_counted_once_each() -> None:
    """Two thousand parts after the manifest that names them do not make two thousand attempts to activate it."""
    active = active_set(*(agent(f"a{n}", [f"x{n}"]) for n in range(2000)))
    *parts, manifest = records_of(active)
    read: list[str] = []

    class Counted(FakeParts):
        def get(self, key, default=None):
            read.append(key)
            return super().get(key, default)

    definitions = taken([manifest, *parts], Counted())

    assert definitions.rulebook.current is not None
    assert definitions.rulebook.current.digest == active.digest
    assert len(read) < 10_000


def test_definitions_part_that_was_taken_away_before_its_manifest_was_complete_is_awaited_again() -> (
    None
):
    """A tombstone of a part of a manifest that is not active yet puts it among the missing."""
    *parts, manifest = records_of(SECOND)
    (first, second) = parts
    definitions = taken([manifest, first, (first[0], None), second])
    assert definitions.rulebook.current is None

    definitions = taken([manifest, first, (first[0], None), second, first])

    assert definitions.rulebook.current is not None
