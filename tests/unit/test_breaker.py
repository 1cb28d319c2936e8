"""The circuit breaker as a pure state machine."""

from __future__ import annotations

from signalbox.routing.breaker import FIRST_OPEN_MS, MAX_OPEN_MS, TRIP_AFTER, Breaker


def tripped(now_ms: int = 0) -> Breaker:
    """A breaker that just opened at `now_ms`."""
    breaker = Breaker()
    for _ in range(TRIP_AFTER):
        breaker = breaker.failed(now_ms, was_probe=False)
    return breaker


def test_breaker_fewer_failures_than_the_limit_stays_closed() -> None:
    """One failure less than the limit changes nothing for callers."""
    breaker = Breaker()
    for _ in range(TRIP_AFTER - 1):
        breaker = breaker.failed(0, was_probe=False)

    assert breaker.may_call(0)


def test_breaker_success_between_failures_starts_the_count_again() -> None:
    """Only failures in a row count."""
    breaker = Breaker()
    for _ in range(3):
        for _ in range(TRIP_AFTER - 1):
            breaker = breaker.failed(0, was_probe=False)
        breaker = breaker.succeeded()

    assert breaker.may_call(0)


def test_breaker_open_lets_nothing_through_until_its_time() -> None:
    """An open breaker holds calls back for exactly its open time."""
    breaker = tripped(1_000)

    assert not breaker.may_call(1_000 + FIRST_OPEN_MS - 1)
    assert breaker.may_call(1_000 + FIRST_OPEN_MS)


def test_breaker_half_open_lets_one_call_through() -> None:
    """While the probe runs nothing else starts."""
    breaker = tripped().started()

    assert not breaker.may_call(FIRST_OPEN_MS)


def test_breaker_probe_succeeds_closes_it() -> None:
    """An answer to the probe closes the breaker and forgets the failures."""
    assert tripped().started().succeeded() == Breaker()


def test_breaker_probe_fails_waits_twice_as_long_up_to_the_cap() -> None:
    """Each failed probe doubles the wait, and the cap ends that."""
    breaker, now_ms = tripped(), FIRST_OPEN_MS
    waits = []
    for _ in range(8):
        breaker = breaker.started().failed(now_ms, was_probe=True)
        waits.append(breaker.open_until_ms - now_ms)
        now_ms = breaker.open_until_ms

    assert waits[:3] == [2 * FIRST_OPEN_MS, 4 * FIRST_OPEN_MS, 8 * FIRST_OPEN_MS]
    assert waits[-1] == MAX_OPEN_MS


def test_breaker_call_begun_before_it_opened_does_not_lengthen_the_wait() -> None:
    """Fifty calls in flight when a model dies do not push the next attempt away."""
    breaker = tripped(0)

    assert breaker.failed(500, was_probe=False) == breaker


def test_breaker_probe_released_lets_the_next_call_probe() -> None:
    """A probe that was cancelled, or served from a cache, says nothing: another may try."""
    breaker = tripped().started().released()

    assert breaker.may_call(FIRST_OPEN_MS)
