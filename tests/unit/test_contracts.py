"""The records: what they take, what they refuse, how they are written; and that their schemas are pinned."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox import schemas, topics
from signalbox.contracts import ids
from signalbox.contracts.dead_letter import MAX_RAW_BYTES, DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import from_epoch_ms, to_epoch_ms
from signalbox.routing.admit import MAX_DEPTH, decode, is_deeper_than
from signalbox.routing.ticks import Origin
from tests.support.fleets import message

ORIGIN = Origin("agent_messages", 2, 17, "c-1")
NOW_MS = 1_700_000_000_000
REPOSITORY = Path(__file__).parents[2]


def decoded(**changes: object) -> Envelope | DeadLetter:
    fields = orjson.loads(message("m-1", {"a": 1}).to_json())
    fields.update(changes)
    return decode(orjson.dumps({k: v for k, v in fields.items() if v is not ...}), ORIGIN, NOW_MS)


def test_envelope_written_and_read_is_the_same():
    """Writing and reading loses nothing, unknown attributes included."""
    envelope = message("m-1", {"a": [1, {"b": None}]}, tenant="blue", priority=2)

    assert Envelope.from_json(envelope.to_json()) == envelope


@pytest.mark.parametrize(("word", "number"), [("high", 2), ("Medium", 5), ("low", 8), (7, 7)])
def test_priority_may_be_a_word(word, number):
    """Textual priorities map to 1..10."""
    assert message("m-1", {}, priority=word).priority == number


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ...}, "id"),
        ({"subject": ...}, "subject"),
        ({"data": ...}, "data"),
        ({"data": [1]}, "data"),
        ({"specversion": "0.3"}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-01-01T00:00:00"}, "time"),
        ({"source": "http://evil"}, "source"),
        ({"source": "agent/../../etc"}, "source"),
        ({"type": "Not A Type"}, "type"),
        ({"id": "a\r\nb"}, "id"),
        ({"subject": "x" * 257}, "subject"),
        ({"priority": 11}, "priority"),
        ({"tokensused": -1}, "tokensused"),
        ({"traceparent": "nonsense"}, "traceparent"),
    ],
)
def test_decode_wrong_attribute_is_a_dead_letter_that_names_it(changes, field):
    """A missing or wrong attribute is `invalid_envelope`, with its name and the place of the record."""
    dead = decoded(**changes)

    assert isinstance(dead, DeadLetter)
    assert dead.reason == "invalid_envelope"
    assert dead.detail.startswith(field)
    assert (dead.topic, dead.partition, dead.offset) == ("agent_messages", 2, 17)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "malformed_json"),
        (b"", "malformed_json"),
        (b"x", "malformed_json"),
        (b"\xff\xfe\x00", "malformed_json"),
        ('{"id":"é"}'.encode("latin-1"), "malformed_json"),
        (b"[]", "invalid_envelope"),
        (b'"text"', "invalid_envelope"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "malformed_json"),
        (b"[" * 200_000, "malformed_json"),
        (b" " * 300_000, "payload_too_large"),
        (b"x" * 10_000_000, "payload_too_large"),
    ],
)
def test_decode_hopeless_value_is_a_dead_letter(raw, reason):
    """Bad bytes of any kind end as a dead letter with the raw value, never as an exception."""
    dead = decode(raw, ORIGIN, NOW_MS)

    assert isinstance(dead, DeadLetter)
    assert dead.reason == reason
    assert len(dead.to_json()) < topics.TOPICS[topics.AGENT_MESSAGES_DLQ].max_message_bytes


@given(st.binary(max_size=400))
def test_decode_never_raises(raw):
    """Whatever the bytes, decoding returns."""
    assert isinstance(decode(raw, ORIGIN, NOW_MS), Envelope | DeadLetter)


@pytest.mark.parametrize("field", ["time", "deadline"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_is_no_date_in_utc_is_refused(field, moment):
    """It can be read and never be written: whoever takes it on raises at its next record, the job at each restart again."""
    dead = decoded(**{field: moment})

    assert isinstance(dead, DeadLetter)
    assert dead.reason == "invalid_envelope"
    assert field in dead.detail


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_moment_go_through_milliseconds(moment):
    """As the read model keeps them: what is admitted can be shown."""
    envelope = decoded(time=moment)

    assert isinstance(envelope, Envelope)
    assert from_epoch_ms(to_epoch_ms(envelope.time)).year == envelope.time.year
    assert Envelope.from_json(envelope.to_json()).time.year == envelope.time.year


def test_decode_forged_engine_attributes_are_ignored():
    """`hop` and `definitions` from outside mean nothing, not even when they are of the wrong type."""
    envelope = decoded(hop=-5, definitions={"forged": True})

    assert isinstance(envelope, Envelope)
    assert envelope.hop is None
    assert envelope.definitions is None


def test_decode_forged_orchestrator_is_refused():
    """Nobody but the engine speaks as `orchestrator`."""
    dead = decoded(source="orchestrator")

    assert isinstance(dead, DeadLetter)
    assert "reserved" in dead.detail or "engine" in dead.detail


@given(st.integers(1, 200), st.integers(1, 200))
def test_depth_counts_nesting_and_not_siblings(depth, width):
    """The limit is on nesting; brackets inside strings and beside each other do not count."""
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    flat = orjson.dumps(["{[" * width] * width)

    assert is_deeper_than(nested, MAX_DEPTH) == (depth > MAX_DEPTH)
    assert not is_deeper_than(flat, MAX_DEPTH)


@given(st.binary(max_size=100), st.integers(0, 3))
def test_dead_letter_keeps_raw_bytes_and_fits_its_topic(raw, repeat):
    """Raw bytes are kept as text or base64, cut at 512 KiB, and the record fits the dlq whatever they are."""
    whole = raw * (10_000 * repeat + 1)
    dead = DeadLetter.of(
        whole, topic="t", reason="late", detail="d", failed_at=datetime.now(UTC), attempts=1
    )

    assert len(dead.to_json()) < topics.TOPICS[topics.AGENT_MESSAGES_DLQ].max_message_bytes
    assert dead.truncated == (len(whole) > MAX_RAW_BYTES)


def test_dead_letter_of_control_characters_does_not_grow_past_its_topic():
    """A megabyte of control characters, six bytes each as JSON text, is kept as base64 instead."""
    dead = DeadLetter.of(b"\x01" * 1_000_000, topic="t", reason="late", failed_at=datetime.now(UTC))

    assert dead.value_base64 is not None
    assert len(dead.to_json()) < topics.TOPICS[topics.AGENT_MESSAGES_DLQ].max_message_bytes


def test_ids_depend_on_the_cause_and_the_slot_alone():
    """The same cause and slot give the same task id; another slot, another id; a reply's follows from the task."""
    assert ids.dispatch_id("m", "route") == ids.dispatch_id("m", "route")
    assert ids.dispatch_id("m", "route") != ids.dispatch_id("m", "target:0")
    assert ids.reply_id("t", 0) != ids.reply_id("t", 1)


def test_outcome_with_unknown_field_is_refused():
    """Records are closed: a misspelt field is an error, not silence."""
    with pytest.raises(ValidationError):
        schemas.Outcome.model_validate({"conversation": "c"})


@pytest.mark.parametrize("name", sorted(schemas.MODELS))
def test_schema_file_is_what_the_model_generates(name):
    """The published schema is the model's; a change is deliberate (`make docs`) and shows in the diff."""
    pinned = (REPOSITORY / schemas.FOLDER / f"{name}.schema.json").read_text()

    assert pinned == schemas.schema_text(name)
