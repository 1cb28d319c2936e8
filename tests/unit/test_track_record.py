"""How an agent has done its tasks: proven answers alone, each task once, failures apart."""

from __future__ import annotations

from signalbox.cli.facts import Fact
from signalbox.cli.track_record import TrackRecord, track_record
from signalbox.contracts.envelope import Envelope
from tests.support.fleets import message


def fact(topic: str, at_ms: int, body: Envelope) -> Fact:
    return Fact(topic, 0, at_ms, at_ms, body.subject, body)


def task(number: int, at_ms: int = 0) -> Fact:
    return fact("agent_tasks_ann", at_ms, message(f"t-{number}", {}, type="task.assigned"))


def answer(number: int, at_ms: int, kind: str = "ann.done", source: str = "agent/ann") -> Fact:
    body = message(f"a-{number}-{at_ms}", {}, type=kind, source=source, causationid=f"t-{number}")
    return fact("agent_messages", at_ms, body)


def test_times_are_from_the_task_to_its_first_answer() -> None:
    """The middle one, and the one that 99 % were not slower than; a second answer to a task counts nothing."""
    facts = [task(n) for n in range(100)] + [answer(n, 10 * (n + 1)) for n in range(100)]

    assert track_record("ann", [*facts, answer(0, 9_999)]) == TrackRecord("ann", 100, 0, 500, 990)


def test_failures_are_answers_that_make_an_agent_less_reliable() -> None:
    """A sign of life is no answer; a failure is one."""
    facts = [
        task(1),
        task(2),
        answer(1, 5, "task.status"),
        answer(1, 30),
        answer(2, 40, "task.failed"),
    ]

    found = track_record("ann", facts)

    assert found == TrackRecord("ann", 2, 1, 30, 40)
    assert found is not None
    assert found.reliability == 0.5


def test_what_only_claims_to_be_an_answer_counts_nothing() -> None:
    """Another agent's, one to no task of its own, one from outside: nobody is judged by them."""
    facts = [
        task(1),
        answer(1, 5, source="agent/bob"),
        answer(2, 5),
        answer(1, 5, source="cli"),
    ]

    assert track_record("ann", facts) is None
    assert track_record("bob", facts) is None
