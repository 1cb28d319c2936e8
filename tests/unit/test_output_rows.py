"""The rows of the sink: topics, keys, headers, and names that are refused."""

from __future__ import annotations

import pytest

from flink_jobs.operators.rows import Rows
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.record import from_epoch_ms
from signalbox.routing import commands as c
from tests.support.fleets import message

ROWS = Rows("p.")


def test_rows_dispatch_goes_to_the_agents_topic_with_the_envelope_headers() -> None:
    """A task is keyed by its conversation and repeats id, type and trace in headers."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    row = ROWS.of(c.Dispatch("alpha", message("m-1", {}, traceparent=trace)))

    assert row is not None
    assert (row.topic, row.key) == ("p.agent_tasks_alpha", "c-1")
    assert row.headers == {
        "ce_id": b"m-1",
        "ce_type": b"lead.submitted",
        "traceparent": trace.encode(),
    }


@pytest.mark.parametrize(
    "agent", ["", "Alpha", "../x", "a" * 64, "a.b", "alpha\n", "ä", "__consumer_offsets"]
)
def test_rows_agent_name_that_is_no_topic_is_refused(agent: str) -> None:
    """A record for a foreign topic would stop the job in a loop, so it never becomes a row."""
    with pytest.raises(ValueError, match="not one the orchestrator writes to"):
        ROWS.of(c.Dispatch(agent, message("m-1", {})))


@pytest.mark.parametrize(
    ("conversation", "key", "expected"),
    [("c-1", "k", "c-1"), (None, "k", "k"), (None, None, None)],
)
def test_rows_dead_letter_key_is_the_conversation_else_the_records_key(
    conversation: str | None, key: str | None, expected: str | None
) -> None:
    """A dead letter stays with its conversation where it has one."""
    letter = DeadLetter.of(
        b"x",
        topic="t",
        key=key,
        conversation_id=conversation,
        reason="late",
        failed_at=from_epoch_ms(0),
    )
    row = ROWS.dead_letter(letter)

    assert (row.topic, row.key) == ("p.agent_messages_dlq", expected)
    assert row.headers["reason"] == b"late"


def test_rows_commands_that_write_nothing_have_no_row() -> None:
    """Only records become rows."""
    assert ROWS.of(c.DropPending(1)) is None
    assert ROWS.of(c.Count("signalbox.duplicates")) is None
