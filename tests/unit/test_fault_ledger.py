"""The ledger of the fault runs is judged itself: a good history is green, and each way of spoiling it is red."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.history import Stored
from tests.faults.ledger import Ledger
from tests.faults.verdict import Report, Sent

Spoil = Callable[[list[Stored]], list[Stored]]


def _stored(on: str, at: int, /, **fields: Any) -> Stored:
    return Stored(on, 0, at, json.dumps(fields).encode())


def good() -> list[Stored]:
    """Two conversations through one agent each, and a bad value: everything ends once."""
    records = [Stored("agent_messages", 0, 9, b"{bad")]
    records.append(
        _stored(
            "agent_messages_dlq",
            0,
            topic="x.agent_messages",
            partition=0,
            offset=9,
            message_id=None,
            reason="malformed_json",
        )
    )
    for number, agent in enumerate(("alpha", "beta")):
        conversation, message, task = f"c-{number}", f"m-{number}", f"t-{number}"
        reply = f"r-{number}"
        records += [
            _stored(
                "agent_messages", number, id=message, subject=conversation, type="go", source="cli"
            ),
            _stored("agent_decisions", number, **_decision(message, conversation, agent, "10")),
            _stored(f"agent_tasks_{agent}", 0, id=task, causationid=message, subject=conversation),
            _stored(
                "agent_messages",
                10 + number,
                id=reply,
                subject=conversation,
                type="done",
                source=f"agent/{agent}",
                causationid=task,
            ),
            _stored("agent_decisions", 10 + number, **_decision(reply, conversation, "NONE", "20")),
            _stored("agent_outcomes", number, **_outcome(conversation)),
        ]
    return records


def _decision(message: str, conversation: str, agent: str, at: str) -> dict[str, Any]:
    return {
        "message_id": message,
        "slot": "route",
        "conversation_id": conversation,
        "agent": agent,
        "path": "contract",
        "decided_at": at,
    }


def _outcome(conversation: str, episode: int = 1) -> dict[str, Any]:
    return {
        "conversation_id": conversation,
        "episode": episode,
        "status": "completed",
        "ended_at": "20",
    }


SENT = [
    Sent("m-0", "c-0", ("agent_messages", 0, 0)),
    Sent("m-1", "c-1", ("agent_messages", 0, 1)),
    Sent("", "bad", ("agent_messages", 0, 9)),
    Sent("m-never", "c-9", None),
]


def judged(records: list[Stored], effects: dict[str, int] | None = None) -> Report:
    """The verdict on `records` with the usual senders' log."""
    counted = {"t-0": 1, "t-1": 1} if effects is None else effects
    return Ledger(records, SENT, effects=counted, acts={"alpha", "beta"}).judge()


def test_ledger_good_history_is_green() -> None:
    """Nothing is found where everything ended once; what was never acknowledged may be absent."""
    report = judged(good())

    assert report.is_good, str(report)
    assert (report.acked, report.delivered, report.dead_letters, report.terminal) == (3, 2, 1, 2)
    report.require_good()


@pytest.mark.parametrize("index", range(len(good())))
def test_ledger_any_record_dropped_is_red(index: int) -> None:
    """Whichever record is missing, the ledger notices."""
    records = good()
    dropped = records.pop(index)

    assert not judged(records).is_good, dropped
    with pytest.raises(AssertionError):
        judged(records).require_good()


@pytest.mark.parametrize(
    "index", [i for i, record in enumerate(good()) if record.topic != "agent_messages"]
)
def test_ledger_any_written_record_doubled_is_red(index: int) -> None:
    """Whichever record of ours comes twice, the ledger notices; a sender may write one id twice."""
    records = good()
    records.append(replace(records[index], offset=99))

    assert judged(records).dup, records[index]


def test_ledger_reply_doubled_is_red_and_a_sender_s_duplicate_is_not() -> None:
    """An agent answers once in committed records; the same id twice from outside is what deduplication is for."""
    again = [
        replace(r, offset=99)
        for r in good()
        if b'"r-0"' in (r.value or b"") and r.topic == "agent_messages"
    ]
    twice = [
        replace(r, offset=98)
        for r in good()
        if b'"m-0"' in (r.value or b"") and r.topic == "agent_messages"
    ]

    assert judged(good() + again).dup
    assert judged(good() + twice).is_good


@pytest.mark.parametrize(
    ("index", "topic"),
    [(i, "agent_heartbeats") for i, _ in enumerate(good())]
    + [
        (i, "agent_tasks_gamma") for i, r in enumerate(good()) if r.topic.startswith("agent_tasks_")
    ],
)
def test_ledger_any_record_moved_to_another_topic_is_red(index: int, topic: str) -> None:
    """A record on a topic where it does not belong is missed where it does."""
    records = good()
    records[index] = replace(records[index], topic=topic)

    assert not judged(records).is_good


WRITTEN = (
    "agent_decisions",
    "agent_tasks_beta",
    "agent_outcomes",
    "agent_review",
    "agent_messages_dlq",
)


@pytest.mark.parametrize("topic", WRITTEN)
@pytest.mark.parametrize("index", range(1, len(good())))
def test_ledger_any_record_moved_to_a_topic_of_other_records_is_red(index: int, topic: str) -> None:
    """What does not look like a record of the topic it is on is said to be wrong there; the judge does not fall over it."""
    records = good()
    is_there = records[index].topic == topic
    records[index] = replace(records[index], topic=topic)

    assert judged(records).is_good == is_there


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (index, name)
        for index, record in enumerate(good())
        for name in ("subject", "conversation_id")
        if name in (record.fields or {})
    ],
)
def test_ledger_any_record_moved_to_another_conversation_is_red(index: int, name: str) -> None:
    """A record that says another conversation than it belongs to is found, whichever it is."""
    records = good()
    moved = {**(records[index].fields or {}), name: "c-9"}
    records[index] = replace(records[index], value=json.dumps(moved).encode())

    assert not judged(records).is_good


@pytest.mark.parametrize(
    "forged",
    [
        _stored("agent_outcomes", 50, **_outcome("c-0", episode=2)),
        _stored("agent_outcomes", 50, **_outcome("c-of-nobody")),
        _stored("agent_tasks_alpha", 50, id="t-x", causationid="m-x", subject="c-0"),
        _stored("agent_decisions", 50, **_decision("m-x", "c-0", "alpha", "15")),
        _stored(
            "agent_messages_dlq",
            50,
            topic="agent_messages",
            partition=0,
            offset=77,
            message_id=None,
            reason="malformed_json",
        ),
    ],
)
def test_ledger_forged_record_is_red(forged: Stored) -> None:
    """An outcome, a task, a decision or a dead letter that nobody caused is found."""
    assert not judged([*good(), forged]).is_good


@pytest.mark.parametrize(
    "effects", [{"t-0": 1}, {"t-0": 2, "t-1": 1}, {"t-0": 1, "t-1": 1, "t-2": 1}]
)
def test_ledger_effect_missing_doubled_or_foreign_is_red(effects: dict[str, int]) -> None:
    """Effects are counted against the tasks that were answered."""
    assert not judged(good(), effects).is_good


def test_ledger_dead_letter_that_names_only_the_place_counts_for_the_message_there() -> None:
    """What is too large to be parsed has an id all the same, for those who can read it."""
    big = _stored("agent_messages", 40, id="big", subject="c-5", type="go", source="cli")
    letter = {
        "topic": "agent_messages",
        "partition": 0,
        "offset": 40,
        "reason": "payload_too_large",
    }

    assert judged([*good(), big]).lost
    assert judged([*good(), big, _stored("agent_messages_dlq", 41, **letter)]).is_good


def test_ledger_person_s_resolution_ends_with_the_decision_it_brought_about() -> None:
    """It has no decision of its own; without one on the message it names, it is lost."""
    resolved = _stored(
        "agent_messages",
        45,
        id="by-hand",
        subject="c-0",
        type="review.resolved",
        source="cli",
        data={"message_id": "m-0", "agent": "alpha"},
    )
    human = [replace(r, value=(r.value or b"").replace(b"contract", b"human")) for r in good()]

    assert judged([*good(), resolved]).lost
    assert judged([*human, resolved]).is_good


def test_ledger_decision_that_a_loop_forbade_needs_no_task() -> None:
    """An agent was decided and not asked, because its conversation ended as a loop: that is an ending."""
    records = [
        r for r in good() if r.topic != "agent_tasks_beta" and b"r-1" not in (r.value or b"")
    ]
    looped = [
        replace(r, value=(r.value or b"").replace(b"completed", b"loop"))
        if b'"c-1"' in (r.value or b"")
        else r
        for r in records
    ]

    assert judged(records, {"t-0": 1}).lost
    assert judged(looped, {"t-0": 1}).is_good, str(judged(looped, {"t-0": 1}))


def test_ledger_conversation_without_an_end_after_its_last_decision_is_open() -> None:
    """An outcome of an earlier episode does not close a later one."""
    late = _stored("agent_decisions", 60, **_decision("r-1", "c-1", "NONE", "30"))

    assert judged([*good(), late]).open


def test_ledger_raw_value_without_its_dead_letter_is_lost_and_with_two_is_dup() -> None:
    """Bytes have no id; their place on the topic is what a dead letter must name, once."""
    letters = [record for record in good() if record.topic == "agent_messages_dlq"]

    assert judged([r for r in good() if r not in letters]).lost
    assert judged([*good(), replace(letters[0], offset=5)]).dup


def rerouted() -> list[Stored]:
    """The good history, whose first message went to gamma as well, because alpha had fallen silent before it answered."""
    failed = {
        "type": "agent.lifecycle.failed",
        "source": "orchestrator",
        "data": {"agent": "alpha"},
    }
    second = {**_decision("m-0", "c-0", "gamma", "15"), "slot": "route:2"}
    said = {"id": "r-9", "subject": "c-0", "type": "done", "source": "agent/gamma"}
    return [
        *good(),
        _stored("agent_messages", 50, id="event-1", subject="c-9", **failed),
        _stored("agent_decisions", 50, **second),
        _stored("agent_tasks_gamma", 0, id="t-9", causationid="m-0", subject="c-0"),
        _stored("agent_messages", 51, **said, causationid="t-9"),
        _stored(
            "agent_messages_dlq", 50, topic="x.agent_messages", message_id="r-9", reason="late"
        ),
    ]


def test_ledger_task_given_to_a_second_agent_is_good_only_where_the_first_fell_silent() -> None:
    """With the event it is green; without it, or with a second task and no second decision, it is a double."""
    records = rerouted()
    effects = {"t-0": 1, "t-1": 1}
    assert judged(records, effects).is_good, str(judged(records, effects))
    without_event = [one for one in records if (one.fields or {}).get("id") != "event-1"]
    undecided = [one for one in records if (one.fields or {}).get("slot") != "route:2"]

    assert any("m-0: 2 tasks" in found for found in judged(without_event, effects).dup)
    assert any("m-0: 2 tasks" in found for found in judged(undecided, effects).dup)


def saga() -> list[Stored]:
    """An order that is reserved, charged in vain twice, and released; and one that goes through."""
    records: list[Stored] = []
    for order, slots, status in (
        (
            "o-1",
            ("reserve", "charge!", "charge:2!", "charge:failed", "undo reserve"),
            "compensated",
        ),
        ("o-2", ("reserve", "charge"), "completed"),
    ):
        start = f"m-{order}"
        records.append(
            _stored("agent_messages", 0, id=start, subject=order, type="order.placed", source="cli")
        )
        for number, said in enumerate(slots):
            at = 100 * (order == "o-2") + number + 1
            slot = said.rstrip("!").replace("undo ", "")
            slot = f"{'compensate' if said.startswith('undo') else 'step'}:{slot}"
            agent = "NONE" if slot.endswith(":failed") else slot.split(":")[1]
            records.append(_stored("agent_decisions", at, **_step(start, order, slot, agent)))
            if agent == "NONE":
                continue
            task = f"{start}-{slot}"
            records += [
                _stored(f"agent_tasks_{agent}", at, id=task, causationid=start, subject=order),
                _stored(
                    "agent_messages",
                    at,
                    id=f"r-{task}",
                    subject=order,
                    type="task.failed" if said.endswith("!") else "done",
                    source=f"agent/{agent}",
                    causationid=task,
                ),
            ]
        records.append(_stored("agent_outcomes", 0, **{**_outcome(order), "status": status}))
    return [replace(one, offset=number) for number, one in enumerate(records)]


def _step(message: str, conversation: str, slot: str, agent: str) -> dict[str, Any]:
    return {
        **_decision(message, conversation, agent, "10"),
        "slot": slot,
        "path": "workflow",
    }


def judged_saga(records: list[Stored]) -> Report:
    """The verdict on a history of two orders."""
    sent = [Sent(f"m-{order}", order, ("agent_messages", 0, 0)) for order in ("o-1", "o-2")]
    return Ledger(records, sent).judge()


def test_ledger_good_saga_is_green() -> None:
    """Many tasks of one message, one for each slot, and answers that end in the run."""
    report = judged_saga(saga())

    assert report.is_good, str(report)
    assert dict(report.outcomes) == {"compensated": 1, "completed": 1}


@pytest.mark.parametrize("index", range(len(saga())))
def test_ledger_any_record_of_a_saga_dropped_is_red(index: int) -> None:
    """A decision, a task, an answer, a failure, an outcome: whichever is missing, the ledger notices."""
    records = saga()
    dropped = records.pop(index)

    assert not judged_saga(records).is_good, dropped


@pytest.mark.parametrize(
    "index", [i for i, record in enumerate(saga()) if b'"cli"' not in (record.value or b"")]
)
def test_ledger_any_record_of_a_saga_doubled_is_red(index: int) -> None:
    """Each slot is decided once, each task given and answered once, each order ends once."""
    records = saga()
    records.append(replace(records[index], offset=99))

    assert judged_saga(records).dup, records[index]


@pytest.mark.parametrize(
    ("on", "fields", "said"),
    [
        (
            "agent_tasks_charge",
            {"id": "t-x", "causationid": "m-o-1", "subject": "o-1"},
            "tasks nobody decided",
        ),
        (
            "agent_decisions",
            _step("m-o-2", "o-2", "compensate:reserve", "reserve"),
            "is completed, and",
        ),
        (
            "agent_decisions",
            _step("m-o-1", "o-1", "compensate:ship", "ship"),
            "the step was never given out",
        ),
        (
            "agent_decisions",
            _step("m-o-1", "o-1", "step:charge:5", "charge"),
            "step:charge:5 without step:charge:4",
        ),
    ],
)
def test_ledger_forged_record_of_a_saga_is_red(on: str, fields: dict[str, Any], said: str) -> None:
    """A task of no slot, an undoing of what is completed or was never done, an attempt that follows none."""
    report = judged_saga([*saga(), _stored(on, 99, **fields)])

    assert said in str(report)
    assert not report.is_good


def test_ledger_saga_that_says_compensated_and_undid_nothing_is_red() -> None:
    """The outcome alone proves nothing."""
    records = [one for one in saga() if b"compensate:" not in (one.value or b"")]

    assert "nothing was undone" in str(judged_saga(records))
