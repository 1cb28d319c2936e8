"""Workflows on `agent_registry`: whole with the rest of a change, unchanged for everybody who has none."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from connectors.memory import MemoryBroker
from connectors.registry import publish, read_active_set
from connectors.registry_history import read_history
from connectors.topic_reader import read_topic
from flink_jobs.operators.definitions import Definitions
from signalbox.contracts.ids import data_digest
from signalbox.contracts.registry import MANIFEST_KEY, Manifest
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing.rules import EnginePolicy, Rules
from signalbox.topics import AGENT_REGISTRY
from tests.support.fleets import agent
from tests.support.workflows import workflow
from tests.unit.test_registry_activation import FakeParts, records_of, taken

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AGENTS = {name: agent(name, ["a"]) for name in ("reserve", "charge", "other")}


def active(*workflows: WorkflowDefinition) -> ActiveSet:
    """Three agents, and workflows of two of them."""
    fleet = Fleet(FleetPolicy(name="test"), AGENTS, {one.name: one for one in workflows})
    return ActiveSet.of([fleet])


@pytest.fixture
def registry() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topic(AGENT_REGISTRY)
    return broker


def keys(registry: MemoryBroker) -> list[str | None]:
    return [record.key_text for record in read_topic(registry, AGENT_REGISTRY)]


def test_a_set_without_workflows_is_written_and_named_as_before_there_were_any():
    """Neither the manifest nor its digest changes for whoever has no workflow."""
    _, manifest = active().records(NOON)
    digests = {name: one.digest for name, one in AGENTS.items()}
    fleets = {"test": FleetPolicy(name="test").as_json()}

    assert "workflows" not in orjson.loads(manifest.to_json())
    assert manifest.digest == data_digest({"agents": digests, "fleets": fleets})[:16]


def test_a_manifest_of_before_there_were_workflows_is_read():
    """What is on a registry from earlier stays usable."""
    _, manifest = active().records(NOON)
    old = {key: one for key, one in orjson.loads(manifest.to_json()).items() if key != "workflows"}

    assert Manifest.from_json(orjson.dumps(old)).workflows == {}


def test_a_changed_workflow_changes_the_name_of_the_whole():
    """A decision's definitions digest tells which workflow was in force."""
    digests = {
        active().digest,
        active(workflow()).digest,
        active(workflow(timeout_seconds=9)).digest,
    }

    assert len(digests) == 3


def test_a_definition_comes_back_from_its_record_as_it_was():
    """To the digest, with what is null in a mapping."""
    one = workflow()
    again = WorkflowDefinition.model_validate(orjson.loads(orjson.dumps(one.as_json())))

    assert again == one
    assert again.digest == one.digest
    assert again.steps[1].input == {"amount": "{{ data.amount }}", "nothing": None}


def test_workflows_travel_through_the_topic(registry):
    """What was published is what readers and histories see; the manifest is last."""
    publish(registry, active(workflow()), topic_prefix="", applied_at=NOON)

    assert read_active_set(registry, topic_prefix="") == active(workflow())
    assert f"workflow/orders@{workflow().digest}" in keys(registry)
    assert keys(registry)[-1] == MANIFEST_KEY
    history = read_history(registry, topic_prefix="", engine=EnginePolicy())
    assert set(history.of(active(workflow()).digest).workflows) == {"orders"}


def test_only_what_changed_is_written_again(registry):
    """A workflow that is on the topic already is not repeated; its change is one record and a manifest."""
    publish(registry, active(workflow()), topic_prefix="", applied_at=NOON)
    before = keys(registry)
    publish(registry, active(workflow(timeout_seconds=9)), topic_prefix="", applied_at=NOON)

    written = keys(registry)[len(before) :]
    assert written == [f"workflow/orders@{workflow(timeout_seconds=9).digest}", MANIFEST_KEY]


def test_a_manifest_waits_for_its_workflows():
    """Half a change is never active: without the workflow's record the set before it stays."""
    first, second = records_of(active()), records_of(active(workflow()))
    parts = FakeParts()
    late = [record for record in second if record[0].startswith("workflow/")]
    definitions = taken([*first, *(one for one in second if one not in late)], parts)

    assert definitions.rulebook.current.digest == active().digest
    definitions.take(*late[0], parts)
    assert definitions.rulebook.current.digest == active(workflow()).digest
    assert definitions.rulebook.current.workflows["orders"].order == ("reserve", "charge")


def test_the_rules_with_workflows_are_rebuilt_after_a_restart():
    """From broadcast state alone."""
    parts = FakeParts()
    taken(records_of(active(workflow())), parts)
    restarted = Definitions(EnginePolicy())
    restarted.restore(parts)

    assert restarted.rulebook.current.workflows["orders"].fleet == "test"


def test_a_workflow_in_use_is_not_forgotten():
    """A tombstone of a part that an active manifest names is ignored."""
    parts = FakeParts()
    records = records_of(active(workflow()))
    key = next(key for key, _ in records if key.startswith("workflow/"))
    taken([*records, (key, None)], parts)

    assert key in parts


@pytest.mark.parametrize(
    "broken",
    [
        {"steps": [{"id": "a", "agent": "nobody"}]},
        {"steps": [{"id": "a", "agent": "charge", "needs": ["a"]}]},
        {"steps": [{"id": "a", "agent": "charge", "needs": ["b"]}]},
        {"steps": [{"id": "a", "agent": "charge"}, {"id": "a", "agent": "charge"}]},
        {"steps": [{"id": "a", "agent": "charge", "input": {"x": "{{ data.x() }}"}}]},
    ],
)
def test_a_workflow_that_cannot_run_never_becomes_active(broken):
    """Whoever wrote it past the check: the manifest is ignored, what was active stays, nothing crashes."""
    wrong = active(workflow(**broken))
    definitions = taken([*records_of(active()), *records_of(wrong)])

    assert definitions.rulebook.current.digest == active().digest
    with pytest.raises(ValueError, match=r"orders|a call"):
        Rules.compile(wrong, EnginePolicy())


def test_an_agent_that_a_workflow_needs_is_not_removed():
    """Who does a step stays, with what to do instead; who does none may go."""
    with pytest.raises(ValueError, match="workflow 'orders' has 'charge' do a step"):
        active(workflow()).without("charge")

    assert set(active(workflow()).without("other").workflows) == {"orders"}
    assert set(active(workflow()).without_workflow("orders").without("charge").agents) == {
        "reserve",
        "other",
    }


def test_a_workflow_belongs_to_one_fleet():
    """Another fleet's workflow of that name is refused, its own is replaced."""
    theirs = Fleet(FleetPolicy(name="theirs"), {"b": agent("b", ["b"])}, {"orders": workflow()})

    with pytest.raises(ValueError, match="workflow 'orders' belongs to fleet 'test'"):
        active(workflow()).with_fleet(theirs)
    with pytest.raises(ValueError, match="declared by fleets 'test' and 'theirs'"):
        ActiveSet.of([*active(workflow()).fleets(), theirs])
    ours = Fleet(FleetPolicy(name="test"), {}, {"orders": workflow(timeout_seconds=9)})
    assert active(workflow()).with_fleet(ours) == active(workflow(timeout_seconds=9))
