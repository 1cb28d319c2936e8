"""How agents do, by their heartbeats and a clock set by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.liveness import Load, loads_from_json, loads_json
from signalbox.routing.load_watch import HALF_LIFE_MS, MAX_AGENTS, SILENT_AFTER_MS, LoadWatch

NOW = 1_700_000_000_000


def beat(agent: str = "ann", instance: str = "0", **more: Any) -> Heartbeat:
    """A heartbeat of a process that can do ten tasks at once."""
    fields: dict[str, Any] = {
        "active": 0,
        "max_concurrent": 10,
        "handled": 0,
        "failed": 0,
        "definitions": "d",
        "capability": "writing",
        "busy_ms": 0,
        "at": datetime(1999, 1, 1, tzinfo=UTC),
        **more,
    }
    return Heartbeat(agent=agent, instance=instance, **fields)


def told(watch: LoadWatch, now_ms: int = NOW, agent: str = "ann") -> Load:
    """What is told of an agent now."""
    news = watch.news(now_ms)
    assert news is not None
    return news[agent]


def test_load_is_what_all_processes_do_of_what_they_can() -> None:
    """Two processes of ten, three and five at work: 40 %."""
    watch = LoadWatch()
    watch.beat(beat(active=3), NOW)
    watch.beat(beat(instance="1", active=5), NOW)

    assert told(watch).busy == 0.4


@pytest.mark.parametrize("state", [{"paused": True}, {"draining": True}])
def test_load_of_a_process_that_rests_is_no_room(state: dict[str, bool]) -> None:
    """Beside one that works it does not count; alone, its agent is full."""
    watch = LoadWatch()
    watch.beat(beat(active=5), NOW)
    watch.beat(beat(instance="1", **state), NOW)
    assert told(watch).busy == 0.5
    watch.beat(beat(**state), NOW)

    assert told(watch, NOW + 1000).busy == 1.0


def test_load_of_processes_that_are_not_heard_is_full() -> None:
    """Whether it failed is not said here; nobody knows that it has room."""
    watch = LoadWatch()
    watch.beat(beat(), NOW)
    assert told(watch).busy == 0.0

    assert told(watch, NOW + SILENT_AFTER_MS).busy == 1.0


def test_load_knows_failures_and_times_of_the_last_tasks() -> None:
    """What was before the first heartbeat is not counted: nobody knows when it was."""
    watch = LoadWatch()
    watch.beat(beat(handled=1000, failed=900, busy_ms=10**9), NOW)
    assert told(watch) == Load(0.0, 1.0, None)
    watch.beat(beat(handled=1009, failed=902, busy_ms=10**9 + 9 * 1234), NOW + 2000)

    assert told(watch, NOW + 2000) == Load(0.0, 0.8, 1200)


def test_load_of_a_process_that_began_anew_counts_from_zero() -> None:
    """Its counters fell: all of them are new."""
    watch = LoadWatch()
    watch.beat(beat(handled=50, failed=50, busy_ms=50), NOW)
    watch.beat(beat(handled=9, failed=2, busy_ms=900), NOW + 2000)

    assert told(watch, NOW + 2000) == Load(0.0, 0.8, 100)


def test_load_forgets_what_was_long_ago() -> None:
    """An agent that was mended is trusted again, and nobody claims to know its speed."""
    watch = LoadWatch()
    watch.beat(beat(), NOW)
    watch.beat(beat(handled=3, failed=3, busy_ms=30), NOW)
    assert told(watch) == Load(0.0, 0.25, 10)
    later = NOW + 20 * HALF_LIFE_MS
    watch.beat(beat(handled=3, failed=3, busy_ms=30), later)

    assert told(watch, later) == Load(0.0, 1.0, None)


def test_load_is_told_when_it_changed_and_not_oftener_than_once_a_second() -> None:
    """What stays the same, or hardly changes, is not told to every subtask."""
    watch = LoadWatch()
    assert watch.news(NOW) is None
    watch.beat(beat(active=5), NOW)
    assert watch.news(NOW) is not None
    watch.beat(beat(active=6), NOW + 500)
    assert watch.news(NOW + 500) is None
    assert watch.news(NOW + 1000) == {"ann": Load(0.6, 1.0, None)}
    watch.beat(beat(active=6), NOW + 3000)
    assert watch.news(NOW + 3000) is None


def test_load_is_looked_at_once_a_second_also_where_nothing_changed() -> None:
    """Thousands of heartbeats a second ask whether there is news: a look that found none counts as one."""
    watch = LoadWatch()
    watch.beat(beat(active=5), NOW)
    assert watch.news(NOW) is not None
    assert watch.news(NOW + 1000) is None
    watch.beat(beat(active=6), NOW + 1400)
    assert watch.news(NOW + 1400) is None

    assert watch.news(NOW + 2000) == {"ann": Load(0.6, 1.0, None)}


def test_load_of_an_agent_that_shares_no_more_is_taken_back() -> None:
    """A heartbeat without a capability says that its definition names none now."""
    watch = LoadWatch()
    watch.beat(beat(), NOW)
    assert watch.news(NOW) is not None
    watch.beat(beat(capability=None), NOW + 2000)

    assert watch.news(NOW + 2000) == {}
    assert watch.news(NOW + 9000) is None


def test_load_is_kept_of_so_many_agents_and_no_more() -> None:
    """Heartbeats of more names than can be active are somebody's mistake."""
    watch = LoadWatch()
    for number in range(MAX_AGENTS + 5):
        watch.beat(beat(f"a{number}"), NOW)

    news = watch.news(NOW)
    assert news is not None
    assert len(news) == MAX_AGENTS


def test_loads_are_read_as_they_were_written_and_nothing_else_is() -> None:
    """What is no object of loads is an error that says so."""
    loads = {"ann": Load(0.5, 0.99, 1200), "bob": Load(0.0, 1.0, None)}
    assert loads_from_json(loads_json(loads)) == loads
    for wrong in (b"[]", b"{", b'{"ann": 1}', b'{"ann": [1]}'):
        with pytest.raises(ValueError, match=r"needed|JSON|unexpected|EOF"):
            loads_from_json(wrong)
