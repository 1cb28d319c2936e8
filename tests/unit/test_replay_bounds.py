"""Where a replay begins and ends: what may be given, and what is said of a range that does not exist."""

from __future__ import annotations

import pytest

from connectors.memory import MemoryBroker
from connectors.topic_range import read_until, resolve_range
from signalbox.errors import SignalboxError, UsageError
from signalbox.replay.bounds import Edge, Moment, Offsets, parse_bound

T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("earliest", Edge("earliest")),
        (" latest ", Edge("latest")),
        ("2026-01-01T00:00:00Z", Moment(T0)),
        ("2026-01-01T02:00:00.250+02:00", Moment(T0 + 250)),
        ("offset:0=12,3=4", Offsets({0: 12, 3: 4})),
    ],
)
def test_bound_takes_its_four_forms(text, bound) -> None:
    """Edges, times with a zone, and offsets by partition."""
    assert parse_bound(text, "--from") == bound


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("yesterday", "earliest, latest, a time"),
        ("2026-01-01T00:00:00", "no time zone"),
        ("offset:0", "offset:0=120"),
        ("offset:0=-1", "offset:0=120"),
        ("offset:0=1,0=2", "partition 0 twice"),
    ],
)
def test_bound_of_no_form_is_refused_with_a_right_one(text, told) -> None:
    """The message names the option, the value and what is right."""
    with pytest.raises(UsageError, match=told) as error:
        parse_bound(text, "--to")

    assert "--to" in str(error.value)
    assert text in str(error.value)


@pytest.fixture
def broker() -> MemoryBroker:
    """Ten messages a second apart on one of two partitions, from T0 on."""
    moments = iter(range(T0, T0 + 100_000, 1000))
    broker = MemoryBroker(now_ms=lambda: next(moments))
    broker.create_topic("agent_messages", 2)
    producer = broker.producer()
    for number in range(10):
        producer.send("agent_messages", key=b"k", value=str(number).encode())
    return broker


def resolved(broker: MemoryBroker, start: str, stop: str) -> dict[int, tuple[int, int]]:
    """The range in offsets, without regard to which partition holds the messages."""
    bounds = (parse_bound(start, "--from"), parse_bound(stop, "--to"))
    return resolve_range(broker, "agent_messages", bounds, (start, stop))


def full(broker: MemoryBroker) -> int:
    """The partition that holds the messages."""
    (number,) = resolved(broker, "earliest", "latest")
    return number


@pytest.mark.parametrize(
    ("start", "stop", "span"),
    [
        ("earliest", "latest", (0, 10)),
        ("2026-01-01T00:00:03Z", "latest", (3, 10)),
        ("2026-01-01T00:00:02.500Z", "2026-01-01T00:00:05Z", (3, 5)),
        ("2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z", (0, 10)),
        ("offset:{full}=4", "latest", (4, 10)),
        ("earliest", "offset:{full}=4", (0, 4)),
    ],
)
def test_range_is_from_the_first_message_up_to_the_last(broker, start, stop, span) -> None:
    """A beginning is part of the range, an end is not."""
    number = full(broker)
    spans = resolved(broker, start.format(full=number), stop.format(full=number))

    assert spans == {number: span}
    read = list(read_until(broker, "agent_messages", {number: span[1]}))
    assert [record.offset for record in read] == list(range(span[1]))


@pytest.mark.parametrize(
    ("start", "stop", "told"),
    [
        ("offset:7=0", "latest", "no partition 7; its partitions are 0, 1"),
        (
            "offset:{full}=11",
            "latest",
            "holds the offsets 0 to 10, 11 is not among them; choose one",
        ),
        ("latest", "earliest", "--from latest is after --to earliest"),
        ("offset:{full}=6", "offset:{full}=4", "swap them"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "is not before"),
        ("2030-01-01T00:00:00Z", "latest", "no message"),
        ("earliest", "2020-01-01T00:00:00Z", "no message"),
        ("offset:{empty}=0", "latest", "no message"),
    ],
)
def test_range_that_does_not_exist_says_what_there_is(broker, start, stop, told) -> None:
    """Nothing is read, and the message says what to give instead."""
    number = full(broker)
    start, stop = (text.format(full=number, empty=1 - number) for text in (start, stop))

    with pytest.raises(UsageError, match=told):
        resolved(broker, start, stop)


def test_range_of_an_empty_topic_says_that_nothing_was_sent() -> None:
    """An empty topic is no mistake of the bounds."""
    broker = MemoryBroker()
    broker.create_topic("agent_messages", 2)

    with pytest.raises(SignalboxError, match="holds no message"):
        resolved(broker, "earliest", "latest")


def test_range_without_the_topic_says_how_to_get_one() -> None:
    """No stack, no topic: the message names the command."""
    with pytest.raises(SignalboxError, match="signalbox up"):
        resolved(MemoryBroker(), "earliest", "latest")
