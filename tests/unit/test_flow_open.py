"""What is open in a conversation: tasks that are waited for, and messages that a decision is owed."""

from __future__ import annotations

import pytest

from signalbox.cli.facts import Fact, facts_of
from signalbox.cli.flow_open import may_be_open, open_tasks, undecided_since
from tests.support.fleets import message, reply, rulebook
from tests.support.flow_story import write
from tests.support.live_story import LiveStory
from tests.support.story import T0
from tests.support.workflow_world import NAMES, agent


@pytest.fixture
def story() -> LiveStory:
    return LiveStory(rulebook(*(agent(name, [], closed=False) for name in NAMES)), {})


def facts(story: LiveStory) -> list[Fact]:
    found = facts_of(story.records(), "")
    return sorted(found, key=lambda one: (one.at_ms, one.topic, one.partition, one.offset))


def agents(story: LiveStory) -> list[str]:
    return sorted(one.agent for one in open_tasks("c", facts(story)))


def test_a_task_is_open_until_it_is_answered(story: LiveStory) -> None:
    """A sign of life is no answer, and moves when it is due by as much as the agent may be silent."""
    story.arrives(message("m-1", {"z": 1}, conversation="c", target="ann"), at=0)
    task = story.tasks["ann"]
    [before] = open_tasks("c", facts(story))
    alive = reply(task, {"state": "working"}, kind="task.status", id="s-1")
    story.arrives(alive, at=60_000)
    [after] = open_tasks("c", facts(story))

    assert (after.agent, after.at_ms) == ("ann", T0)
    assert after.due_ms - before.due_ms == 60_000
    story.answers("ann", {"ok": 1}, at=70_000)
    assert agents(story) == []


def test_nobody_is_waited_for_in_a_conversation_that_has_ended(story: LiveStory) -> None:
    """Its time was over before the answer: the task leads nowhere any more, and there is nothing to look into."""
    story.arrives(message("m-1", {"z": 1}, conversation="c", target="ann,bob"), at=0)
    assert agents(story) == ["ann", "bob"]
    assert may_be_open(facts(story))

    story.time_passes("c", at=40 * 86_400_000)

    assert [one.body.status for one in facts(story) if one.topic == "agent_outcomes"] == ["expired"]
    assert agents(story) == []
    assert not may_be_open(facts(story))


def test_what_the_orchestrator_says_and_signs_of_life_owe_no_decision(story: LiveStory) -> None:
    """An event that nobody hears has no record after it for ever; what comes from outside does not stay so."""
    event = message("event-1", {"z": 1}, conversation="c", source="orchestrator", type="x.y")
    write(story, "agent_messages", "c", event, 0)
    assert undecided_since(facts(story)) is None

    write(story, "agent_messages", "c", message("m-1", {"z": 1}, conversation="c"), 10)
    assert undecided_since(facts(story)) == T0 + 10

    story.decide(message("m-2", {"z": 1}, conversation="c", target="ann"), at=20)
    assert undecided_since(facts(story)) is None
