"""Heartbeats on a clock that stands still, and the clock's own alarms."""

from __future__ import annotations

from agents.clock import Alarms, ManualClock, moment
from agents.heartbeat import INTERVAL_MS, HeartbeatSender
from signalbox.contracts.heartbeat import Heartbeat


def test_heartbeat_beats_at_once_and_every_interval_until_stopped() -> None:
    """One heartbeat now, one for each interval that passes, none after stop."""
    clock = ManualClock()
    sent: list[Heartbeat] = []
    sender = HeartbeatSender(sent.append, clock, lambda: heartbeat(clock))

    sender.beat()
    clock.advance(INTERVAL_MS)
    clock.advance(INTERVAL_MS)
    sender.stop()
    clock.advance(10 * INTERVAL_MS)

    assert len(sent) == 3
    assert sent[2].at > sent[0].at


def test_alarm_set_again_rings_once_at_the_new_time() -> None:
    """Setting an alarm replaces it; None takes it away."""
    clock = ManualClock()
    rung: list[int] = []
    alarms = Alarms(clock, lambda: rung.append(clock.now_ms()))
    start_ms = clock.now_ms()

    alarms.set("retry", start_ms + 10)
    alarms.set("retry", start_ms + 20)
    alarms.set("poll", start_ms + 5)
    alarms.set("poll", None)
    clock.advance(10)
    clock.advance(10)

    assert rung == [start_ms + 20]
    assert not alarms.is_set("retry")


def heartbeat(clock: ManualClock) -> Heartbeat:
    """A heartbeat with two handlers running."""
    return Heartbeat(
        agent="worker",
        instance="0",
        active=2,
        max_concurrent=10,
        handled=5,
        failed=1,
        definitions="d",
        at=moment(clock),
    )
