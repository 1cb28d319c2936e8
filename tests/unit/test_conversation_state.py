"""The blob of one conversation: what is written is what is read, also from the version before."""

from __future__ import annotations

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.routing.state import Conversation, OpenDispatch
from signalbox.workflows.run import WorkflowRun


@given(st.binary(max_size=200).map(lambda raw: raw[: len(raw) // 8 * 8]))
def test_state_any_seen_ids_survive_the_blob(seen: bytes) -> None:
    """Hashes hold any byte, line breaks too, and come back as they were, beside the rest."""
    state = Conversation("c-1", hops=3, open={"t-1": OpenDispatch("alpha", 5)}, seen=seen)

    assert Conversation.decode(state.encode()) == state


def test_state_of_version_1_is_read_with_its_seen_ids() -> None:
    """A savepoint of the version before, whose ids were base64 inside the JSON, goes on without a duplicate."""
    state = Conversation("c-1", hops=3, seen=b"12345678\n2345678")
    head = orjson.loads(state.encode().partition(b"\n")[0])
    old = orjson.dumps({**head, "v": 1, "seen": base64.b64encode(state.seen).decode()})

    assert Conversation.decode(old) == state
    assert Conversation.decode(old).has_seen(b"12345678")


def test_state_of_a_newer_version_is_refused() -> None:
    """Code that is older than its state says so instead of guessing."""
    head = orjson.loads(Conversation("c-1").encode().partition(b"\n")[0])

    with pytest.raises(ValueError, match="upgrade the job"):
        Conversation.decode(orjson.dumps({**head, "v": 99}) + b"\n")


def test_state_of_version_2_is_read_without_a_workflow() -> None:
    """A savepoint from before there were workflows goes on as it was."""
    state = Conversation("c-1", hops=3, open={"t-1": OpenDispatch("alpha", 5)})
    head, _, seen = state.encode().partition(b"\n")
    old = orjson.dumps({**orjson.loads(head), "v": 2})

    assert Conversation.decode(b"\n".join((old, seen))) == state


def test_state_with_a_run_survives_the_blob() -> None:
    """A run comes back step by step, and only what was touched takes room."""
    run = WorkflowRun("work", "d1", "m-1", 4, not_undone=("z",)).with_step(
        "a", status="running", task="t-1", due_ms=7
    )
    state = Conversation("c-1", workflow=run.rest("b", "done", "why", result=5))

    assert Conversation.decode(state.encode()) == state
    assert b"may_have_acted" not in state.encode()
