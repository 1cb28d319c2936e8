"""A quarter of an hour in which everything that a window counts happens: the same story for topics and read model."""

from __future__ import annotations

from typing import Any

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.ids import replay_id
from signalbox.contracts.record import from_epoch_ms
from tests.support.fleets import message
from tests.support.live_story import LiveStory, live
from tests.support.story import T0
from tests.support.workflow_world import step, workflow

ASK = {"reason": "Go on?", "deadline_seconds": 3600}
REVIEW = {"below_confidence": 0.5, "deadline_seconds": 7200}
MINUTE = 60_000
END = 100 * MINUTE + 30_000
"""Now, ms after the story's beginning."""
WORK = workflow(
    step("a", timeout_seconds=120), step("b", "a", by="bob", approve=ASK), step("c", by="cyd")
)


def flow_story(patch: Any) -> LiveStory:
    """Play it: commands find it as their broker, and `END` as their time."""
    story = live(patch, [WORK], {}, review=REVIEW, budgets={"task_seconds": 300})
    busy(story)
    # A run that waits for a person, whose agent `cyd` is late; half of the person's time is not gone.
    start(story, "run-1", 80)
    story.answers("ann", {"ok": 1}, at=80 * MINUTE + 500)
    # A message that nobody was sure about: parked, and more than half of the time gone.
    story.arrives(message("p-1", {"z": 1}, conversation="parked"), at=30 * MINUTE)
    said = '{"agent": "cyd", "reason": "perhaps", "confidence": 0.2}'
    story.model_says(ChatAnswer(text=said, model="m"), at=30 * MINUTE + 5)
    # A task that nobody answers, past its deadline, and one given up by its agent.
    story.arrives(message("t-1", {"z": 1}, conversation="late", target="ann"), at=90 * MINUTE)
    story.arrives(message("t-2", {"z": 1}, conversation="failed", target="judge"), at=91 * MINUTE)
    story.fails("judge", "cannot", at=91 * MINUTE + 900)
    # A model that was asked and never answers: nothing is on record.
    story.arrives(message("u-1", {"z": 1}, conversation="stuck"), at=95 * MINUTE)
    # The same message again owes nothing.
    again = message("t-2", {"z": 1}, conversation="failed", target="judge")
    story.arrives(again, at=92 * MINUTE)
    # Too young to be undecided.
    story.arrives(message("u-2", {"z": 1}, conversation="young"), at=END - 5_000)
    letters(story)
    beats(story, "bob", "judge")
    story.now_ms = T0 + END
    story.at = END
    return story


def busy(story: LiveStory) -> None:
    """Let two conversations a minute come and end, and twenty in one minute."""
    for minute in range(20, 100):
        for number in range(20 if minute == 97 else 2):
            at = minute * MINUTE + number * 1000
            name = f"busy-{minute}-{number:02}"
            story.arrives(
                message(name, {"z": 1}, conversation=name, target="judge"),
                at=at,
                decided_at=at + 10 + minute,
            )
            story.fails("judge", "no", at=at + 300)


def start(story: LiveStory, conversation: str, minute: int) -> None:
    """Begin a run of the workflow."""
    asked = message(f"m-{conversation}", {"n": 1}, conversation=conversation, type="work.asked")
    story.arrives(asked, at=minute * MINUTE)


def letters(story: LiveStory) -> None:
    """Write dead letters of three fates and one before the window."""
    for number, minute in enumerate((40, 88, 89, 93, 94)):
        letter = DeadLetter.of(
            b"{",
            topic="incoming_leads",
            partition=0,
            offset=number,
            reason="late" if minute == 94 else "malformed_json",
            detail="no",
            message_id=f"d-{number}",
            conversation_id=f"dead-{number}",
            failed_at=from_epoch_ms(T0 + minute * MINUTE),
        )
        write(story, "agent_messages_dlq", f"dead-{number}", letter, minute * MINUTE)
    replayed = message(replay_id("d-1", 0), {"z": 1}, conversation="dead-1", target="ann")
    story.arrives(replayed, at=88 * MINUTE + 10)
    place = next(
        f"{one.partition}:{one.offset}"
        for one in story.records("agent_messages_dlq")
        if one.key == b"dead-2"
    )
    mark = DeadLetterMark(place=place, status="discarded", by="me", note="", at=from_epoch_ms(T0))
    write(story, "dead_letter_marks", place, mark, 96 * MINUTE)


def beats(story: LiveStory, *agents: str) -> None:
    """Let agents send a heartbeat a second before the end."""
    for name in agents:
        beat = Heartbeat(
            agent=name,
            instance="1",
            active=0,
            max_concurrent=1,
            handled=0,
            failed=0,
            definitions="d",
            at=from_epoch_ms(T0 + END - 1000),
        )
        write(story, "agent_heartbeats", name, beat, END - 1000)


def write(story: LiveStory, topic: str, key: str, record: Any, at: int) -> None:
    """Put a record on a topic."""
    story.now_ms = T0 + at
    story.broker.producer().send(topic, key=key.encode(), value=record.to_json())
