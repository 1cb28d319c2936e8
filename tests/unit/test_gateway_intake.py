"""Bodies as messages: what is taken, what is filled in, what is refused with the job's own reason."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.gateway.intake import Given, conversation_of, event_of, lead_of
from signalbox.gateway.problems import GatewayError, RequestError, TooLargeError
from signalbox.routing.admit import decode
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES, MAX_ADMITTED_BYTES

GIVEN = Given(datetime(2026, 1, 2, tzinfo=UTC), lambda prefix: f"{prefix}-new")
ENVELOPE = {
    "specversion": "1.0",
    "id": "m-1",
    "source": "connector/crm",
    "type": "order.placed",
    "time": "2026-01-01T00:00:00Z",
    "subject": "order-1",
    "data": {"n": 1},
}


def event(body: Any, **headers: str) -> Envelope:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Envelope.from_json(event_of(raw, named, GIVEN).value)


def refusal(body: Any, **headers: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        event(body, **headers)
    return caught.value


def test_an_envelope_goes_on_as_it_is() -> None:
    """Every attribute a client may say is kept, unknown ones too."""
    message = event({**ENVELOPE, "priority": "high", "tenant": "blue"})

    assert message.model_dump(mode="json", exclude_none=True) == {
        **ENVELOPE,
        "time": "2026-01-01T00:00:00.000Z",
        "priority": 2,
        "datacontenttype": "application/json",
        "tokensused": 0,
        "tenant": "blue",
    }


def test_an_envelope_is_given_what_it_does_not_say() -> None:
    """Source, time, id and a conversation of its own."""
    message = event({"specversion": "1.0", "type": "order.placed", "data": {}})

    assert (message.source, message.id, message.subject) == ("gateway", "msg-new", "conv-new")
    assert message.time == GIVEN.at


def test_a_bare_payload_is_the_data_and_headers_are_the_attributes() -> None:
    """CloudEvents' binary mode; percent-encoding is undone."""
    message = event(
        {"n": 1}, ce_id="m-7", ce_type="order.placed", ce_subject="order%20%C3%A4", ce_priority="3"
    )

    assert (message.id, message.type, message.subject) == ("m-7", "order.placed", "order ä")
    assert (message.priority, message.data) == (3, {"n": 1})


def test_a_bare_payload_without_a_type_is_a_lead() -> None:
    """As `signalbox send` takes it: wrapped once."""
    assert event({"email": "a@b.c"}).data == {"lead": {"email": "a@b.c"}}
    assert event({"lead": {"email": "a@b.c"}}).data == {"lead": {"email": "a@b.c"}}
    assert event({"email": "a@b.c"}).type == "lead.submitted"


@pytest.mark.parametrize("header", ["ce_id", "idempotency_key"])
def test_a_retry_under_the_clients_id_is_the_same_message(header: str) -> None:
    """Its conversation follows from the id: in another one the second would be another message."""
    first, second = event({"n": 1}, **{header: "k-1"}), event({"n": 1}, **{header: "k-1"})

    assert (
        (first.id, first.subject) == (second.id, second.subject) == ("k-1", conversation_of("k-1"))
    )


def test_a_lead_is_taken_bare_or_named_and_never_as_an_envelope() -> None:
    """`POST /leads` makes `lead.submitted` of it."""
    for body in ({"email": "a"}, {"lead": {"email": "a"}}):
        message = Envelope.from_json(lead_of(orjson.dumps(body), {}, GIVEN).value)
        assert (message.type, message.data) == ("lead.submitted", {"lead": {"email": "a"}})

    with pytest.raises(RequestError, match="/events"):
        lead_of(orjson.dumps(ENVELOPE), {}, GIVEN)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{oops", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b"", "malformed_json"),
        (gzip.compress(b"{}", mtime=0), "malformed_json"),
        (b"[" * 100_000 + b"]" * 100_000, "malformed_json"),
        (b'{"a":' * 50_000, "malformed_json"),
        ([1], "invalid_envelope"),
        ("text", "invalid_envelope"),
        (None, "invalid_envelope"),
        ({**ENVELOPE, "specversion": "0.3"}, "invalid_envelope"),
        ({**ENVELOPE, "data": [1]}, "invalid_envelope"),
        ({**ENVELOPE, "id": "a\r\nb"}, "invalid_envelope"),
        ({**ENVELOPE, "id": 7}, "invalid_envelope"),
        ({**ENVELOPE, "subject": ""}, "invalid_envelope"),
        ({**ENVELOPE, "type": "Not A Type"}, "invalid_envelope"),
        ({**ENVELOPE, "time": "yesterday"}, "invalid_envelope"),
        ({**ENVELOPE, "priority": 99}, "invalid_envelope"),
        ({**ENVELOPE, "source": "orchestrator"}, "invalid_envelope"),
        ({**ENVELOPE, "source": "agent/lead_scoring"}, "invalid_envelope"),
        ({**ENVELOPE, "source": "http://elsewhere"}, "invalid_envelope"),
    ],
)
def test_what_the_job_would_not_admit_is_refused_with_its_reason(body: Any, reason: str) -> None:
    """422 with the dead-letter reason and a remedy; nothing reaches the topic to become a dead letter."""
    error = refusal(body)

    assert (error.status, error.more["reason"]) == (422, reason)
    assert error.remedy


def test_a_header_cannot_bring_a_line_break_into_an_id() -> None:
    """Percent-encoded or not."""
    assert refusal({"n": 1}, ce_id="a%0d%0aset-cookie: b").status == 422


def test_more_bytes_than_are_admitted_are_refused_before_they_are_parsed() -> None:
    """413; the limit is the job's, also for what the envelope around a payload adds."""
    assert isinstance(refusal(b"[" * (MAX_ADMITTED_BYTES + 1)), TooLargeError)
    nearly = {"text": "x" * (MAX_ADMITTED_BYTES - 20)}
    assert isinstance(refusal(nearly), TooLargeError)


def test_what_only_the_engine_says_is_left_out() -> None:
    """A forged hop, spent tokens or a status of an answer count for nothing, and are not passed on."""
    forged = {"hop": 40, "definitions": "x", "tokensused": 10**6, "replystatus": "success"}
    message = event({**ENVELOPE, **forged, "processingms": 3})

    assert (message.hop, message.definitions, message.tokensused) == (None, None, 0)
    assert (message.replystatus, message.processingms) == (None, None)


def test_whatever_is_taken_the_job_admits() -> None:
    """The value on the topic passes the job's own admission."""
    made = event_of(orjson.dumps({"email": "a"}), {}, GIVEN)

    assert not isinstance(decode(made.value, Origin(AGENT_MESSAGES), 0), DeadLetter)


@pytest.mark.parametrize("priority", ["9" * 30, "9" * 5000])
def test_a_priority_beyond_all_numbers_is_refused(priority: str) -> None:
    """As any other that is not 1 to 10."""
    assert isinstance(refusal({"n": 1}, ce_priority=priority), RequestError)


def test_the_id_of_the_binding_counts_before_the_key_of_a_retry() -> None:
    """Likewise its trace: the other headers stand in where they are missing."""
    trace = "00-{}-00f067aa0ba902b7-01"
    own, outer = trace.format("a" * 32), trace.format("b" * 32)
    named = {"ce_id": "m-1", "idempotency_key": "k-1", "ce_traceparent": own, "traceparent": outer}

    message = event({"n": 1}, **named)

    assert (message.id, message.traceparent) == ("m-1", own)


def test_what_is_taken_is_admitted_up_to_the_last_byte() -> None:
    """The attributes that are filled in count too."""
    for size in range(MAX_ADMITTED_BYTES - 400, MAX_ADMITTED_BYTES + 1, 10):
        body = {**ENVELOPE, "data": {"text": ""}}
        body["data"] = {"text": "x" * (size - len(orjson.dumps(body)))}
        try:
            made = event_of(orjson.dumps(body), {}, GIVEN)
        except TooLargeError:
            continue
        assert not isinstance(decode(made.value, Origin(AGENT_MESSAGES), 0), DeadLetter), size


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_clients_traceparent_goes_on_whatever_it_sends() -> None:
    """A bare payload, an envelope without its own, a lead; an envelope's own wins."""
    headers = {"traceparent": TRACEPARENT}
    own = TRACEPARENT.replace("b7ad", "c8be")
    lead = Envelope.from_json(lead_of(b'{"email": "a"}', headers, GIVEN).value)

    assert event({"a": 1}, **headers).traceparent == TRACEPARENT
    assert event(ENVELOPE, **headers).traceparent == TRACEPARENT
    assert event({**ENVELOPE, "traceparent": own}, **headers).traceparent == own
    assert lead.traceparent == TRACEPARENT


@pytest.mark.parametrize("wrong", ["", "00-abc", TRACEPARENT.upper(), f"{TRACEPARENT}-more"])
def test_a_traceparent_that_is_none_is_ignored_and_the_message_taken(wrong: str) -> None:
    """It is set by a client's HTTP library, and a message is not to be lost for it (Trace Context §4.3)."""
    assert event({"a": 1}, traceparent=wrong).traceparent is None
