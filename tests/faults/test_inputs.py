"""Bad input under load: bytes that are no message, clocks that are wrong, one conversation that floods."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.load import Outgoing, message, mixed
from tests.faults.stand import Stand

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

Tell = Callable[..., None]
RESET = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
FLOOD = {1: 100_000}
"""By seed; the others send 3,000."""


def bad_values(run: str) -> Iterator[Outgoing]:
    """One of each kind that decode must survive; those that can be read have an id of their own."""

    def envelope(number: int, **changes: object) -> bytes:
        fields = json.loads(message(run, 5000 + number, {"a": 1}).value)
        return json.dumps({**fields, **changes}).encode()

    values: list[bytes | None] = [
        None,
        b"",
        b"{",
        b"x",
        b"\xff\xfe\x00",
        "schön".encode("latin-1"),
        b"null",
        b"[1, 2]",
        b'"text"',
        b"{}",
        b"[" * 50_000 + b"]" * 50_000,
        b'{"data": "' + b"x" * 900_000 + b'"}',
        b'{"id": "a", "id": "b"}',
        envelope(1, specversion="9.9"),
        envelope(2, data="no object"),
        envelope(3, source="orchestrator"),
        envelope(4, priority=99),
        envelope(5, time="yesterday"),
        envelope(6, type="task.assigned"),
        envelope(7, source="agent/alpha", causationid="task-of-nobody"),
        envelope(8, target="nobody_knows_it"),
        envelope(9, deadline="2001-01-01T00:00:00Z"),
        envelope(10, data={"a": "x" * 300_000}),
    ]
    for number, value in enumerate(values):
        named = json.loads(value)["id"] if value and value.startswith(b'{"specversion"') else ""
        yield Outgoing(named, f"{run}-bad{number}", value)  # type: ignore[arg-type]


def forged_values(run: str) -> list[Outgoing]:
    """Good messages that claim what only the engine may say; of the wrong type, too."""
    claims: list[dict[str, Any]] = [
        {"hop": 99},
        {"hop": "many"},
        {"definitions": "0" * 64},
        {"definitions": {"forged": True}},
        {"hop": -5, "definitions": None, "tokensused": 10**9},
    ]
    return [message(run, 6000 + n, {"a": n}, **claim) for n, claim in enumerate(claims)]


@pytest.mark.smoke
def test_f12_bytes_that_are_no_message(stand: Stand, seed: int, tell: Tell) -> None:
    """F12: bad values amid good ones: a dead letter each, with its place; what is forged counts for nothing; all goes on."""
    run = stand.name_run("f12", seed)
    outgoing = list(mixed(run, seed, 300))
    chance = random.Random(seed)
    bad, forged = list(bad_values(run)), forged_values(run)
    for one in (*bad, *forged):
        outgoing.insert(chance.randrange(len(outgoing)), one)
    letters = _letters(stand)
    report = stand.settle(stand.send(outgoing))

    assert _letters(stand) - letters == len(bad)
    tasks = {
        record.fields["causationid"]: (record.fields["hop"], record.fields["definitions"])
        for record in stand.history.records
        if record.topic == "agent_tasks_alpha" and record.fields
    }
    assert {tasks[one.id] for one in forged} == {(1, stand.active_digest())}
    tell(report, seed=seed, bad=len(bad), forged=len(forged))


def test_f16_clocks_are_an_hour_off(stand: Stand, seed: int, tell: Tell) -> None:
    """F16: senders' clocks are an hour off, or were reset to 1970: nothing is refused, expires or vanishes, all completes."""
    run = stand.name_run("f16", seed)
    now = datetime.now(UTC)
    clocks = [now - timedelta(hours=1), now + timedelta(hours=1), now + timedelta(hours=2), RESET]
    outgoing = []
    for n in range(200):
        clock = clocks[n // 2 % len(clocks)]
        one = message(run, n, {"ab"[n % 2]: n}, time=clock.isoformat())
        outgoing.append(replace(one, written_ms=int(clock.timestamp() * 1000)))
    report = stand.settle(stand.send(outgoing))

    ended = [
        record.fields["status"]
        for record in stand.history.records
        if record.topic == "agent_outcomes" and record.fields and run in str(record.value)
    ]
    assert ended == ["completed"] * len(outgoing)
    tell(report, seed=seed)


@pytest.mark.timeout(2400)
def test_flood_of_one_conversation(stand: Stand, seed: int, tell: Tell) -> None:
    """One conversation sends up to 1e5 messages at once: bounded waiting, the rest is refused aloud, others go on."""
    run = stand.name_run("flood", seed)
    count = FLOOD.get(seed, 3_000)
    flood = stand.send(
        (message(run, n, {"ab"[n % 2]: n}, conversation=f"{run}-one") for n in range(count)),
        per_second=1000,
    )
    others = stand.send(mixed(f"{run}x", seed, 100), per_second=20)
    report = stand.settle(flood, others, seconds=1200)

    tell(report, seed=seed, flood=count)


def _letters(stand: Stand) -> int:
    return sum(record.topic == "agent_messages_dlq" for record in stand.history.read())
