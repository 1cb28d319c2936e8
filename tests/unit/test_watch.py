"""The watch over heartbeats with a clock set by hand: who joins, fails, recovers, leaves; and what never makes anybody dead."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.events import is_event
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.routing.watch import MAX_GAP_MS, MAX_INSTANCES, MAX_WATCHED, Change, Watch

START_MS = 1_700_000_000_000
BEAT_MS = 2_000


def beat(agent: str, instance: str = "0", *, draining: bool = False) -> Heartbeat:
    """A heartbeat whose sender's clock is far off."""
    return Heartbeat(
        agent=agent,
        instance=instance,
        active=0,
        max_concurrent=1,
        handled=0,
        failed=0,
        definitions="d",
        draining=draining,
        at=datetime(1999, 1, 1, tzinfo=UTC),
    )


class Room:
    """A watch, its clock, and who sends heartbeats into it. `echoes`: whether what the watch writes itself comes back."""

    def __init__(self, *, echoes: bool = True) -> None:
        self.now_ms = START_MS
        self.watch = Watch([], START_MS)
        self.alive: dict[tuple[str, str], bool] = {}
        self.echoes = echoes
        self.is_cut = False
        self.changes: list[Change] = []
        self.written = 0

    def restart(self) -> None:
        """Lose memory, as a restored job does."""
        known = [
            standing
            for name in {change.standing.agent for change in self.changes}
            if (standing := self.watch.standing(name)) is not None
        ]
        self.watch = Watch(known, self.now_ms)

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass in steps of a pulse, with a heartbeat every two seconds from everybody who is alive."""
        for _ in range(int(seconds * 2)):
            self.now_ms += 500
            if (self.now_ms - START_MS) % BEAT_MS == 0 and not self.is_cut:
                for (agent, instance), draining in self.alive.items():
                    self._note(
                        self.watch.beat(beat(agent, instance, draining=draining), self.now_ms)
                    )
            for change in self.watch.look(self.now_ms):
                self._note(change)
            if self.watch.wants_echo(self.now_ms):
                self.written += 1
                if self.echoes and not self.is_cut:
                    self.watch.echo(self.now_ms)

    def kinds(self) -> list[tuple[str, str]]:
        """What happened so far, as (kind, agent)."""
        return [(change.kind, change.standing.agent) for change in self.changes]

    def _note(self, change: Change | None) -> None:
        if change is not None:
            self.changes.append(change)


@pytest.fixture
def room() -> Room:
    """Two agents that joined."""
    room = Room()
    room.alive = {("a", "0"): False, ("b", "0"): False}
    room.pass_seconds(10)
    return room


class TestComeAndGo:
    def test_the_first_heartbeat_is_a_joining(self, room: Room) -> None:
        """Once each, whatever the sender's clock says."""
        assert room.kinds() == [("joined", "a"), ("joined", "b")]

    def test_a_silence_of_fifteen_seconds_is_a_failure_and_a_heartbeat_a_recovery(
        self, room: Room
    ) -> None:
        """Neither earlier nor twice; `failed` has it as long as it lasts."""
        del room.alive["a", "0"]
        room.pass_seconds(14)
        assert room.kinds()[2:] == []
        room.pass_seconds(30)
        assert room.kinds()[2:] == [("failed", "a")]
        assert list(room.watch.failed) == ["a"]
        room.alive["a", "0"] = False
        room.pass_seconds(4)

        assert room.kinds()[2:] == [("failed", "a"), ("recovered", "a")]
        assert room.watch.failed == {}

    def test_an_agent_lives_as_long_as_one_of_its_processes_does(self, room: Room) -> None:
        """The failure lists the processes that were heard last; one that stopped long before is not among them."""
        room.alive["a", "1"] = False
        room.pass_seconds(4)
        del room.alive["a", "0"]
        room.pass_seconds(60)
        assert room.kinds()[2:] == []
        del room.alive["a", "1"]
        room.pass_seconds(20)

        assert room.kinds()[2:] == [("failed", "a")]
        assert room.changes[-1].instances == ("1",)

    def test_a_removed_agent_that_ends_has_left(self, room: Room) -> None:
        """It said that it drains; nobody waits for it, and it joins again if it comes back."""
        room.alive["a", "0"] = True
        room.pass_seconds(4)
        del room.alive["a", "0"]
        room.pass_seconds(20)
        assert room.kinds()[2:] == [("left", "a")]
        assert room.watch.failed == {}
        room.alive["a", "0"] = False
        room.pass_seconds(4)

        assert room.kinds()[2:] == [("left", "a"), ("joined", "a")]

    def test_events_are_named_by_what_changed_so_that_a_repetition_is_a_duplicate(
        self, room: Room
    ) -> None:
        """After a restart from an older state the same change has the same id; the next one another."""
        del room.alive["a", "0"]
        room.pass_seconds(20)
        events = [change.event(room.now_ms) for change in room.changes]

        assert len({event.id for event in events}) == 3
        assert all(is_event(event) for event in events)
        assert events[2].type == "agent.lifecycle.failed"
        assert events[2].data["agent"] == "a"
        assert room.changes[2].event(room.now_ms + 60_000).id == events[2].id


class TestGrace:
    def test_a_restart_declares_nobody_dead(self, room: Room) -> None:
        """However long the job was down: silence counts from the start on, and only while something comes through."""
        room.now_ms += 3_600_000
        room.restart()
        room.pass_seconds(60)

        assert room.kinds()[2:] == []

    def test_who_died_while_the_job_was_down_is_noticed_after_it_came_back(
        self, room: Room
    ) -> None:
        """It has as long as anybody to be heard."""
        del room.alive["a", "0"]
        room.now_ms += 600_000
        room.restart()
        room.pass_seconds(14)
        assert room.kinds()[2:] == []
        room.pass_seconds(4)

        assert room.kinds()[2:] == [("failed", "a")]

    def test_an_outage_of_the_broker_declares_nobody_dead(self, room: Room) -> None:
        """Nothing comes through, the watch's own records neither: of such a gap five seconds count, however long it is."""
        room.is_cut = True
        room.pass_seconds(300)
        room.is_cut = False
        room.pass_seconds(60)

        assert room.kinds()[2:] == []
        assert room.written > 0

    def test_agents_slow_to_come_back_after_an_outage_have_time(self, room: Room) -> None:
        """The watch's own record comes through first; that alone is no evidence against the others."""
        gone, room.alive = room.alive, {}
        room.is_cut = True
        room.pass_seconds(120)
        room.is_cut = False
        room.pass_seconds((15_000 - MAX_GAP_MS) / 1000 - 4)
        room.alive = gone
        room.pass_seconds(30)

        assert room.kinds()[2:] == []

    def test_all_agents_dead_is_noticed_by_the_watch_hearing_itself(self, room: Room) -> None:
        """Its records come back and nobody else's: both failed, and then it writes no more."""
        room.alive = {}
        room.pass_seconds(25)
        written = room.written
        assert room.kinds()[2:] == [("failed", "a"), ("failed", "b")]
        room.pass_seconds(600)

        assert room.written == written < 12

    def test_while_agents_are_heard_the_watch_writes_nothing(self, room: Room) -> None:
        """The topic is theirs."""
        room.pass_seconds(600)

        assert room.written == 0

    def test_a_clock_that_jumps_back_fails_nobody(self, room: Room) -> None:
        """Time that did not pass is not counted."""
        room.now_ms -= 100_000
        room.pass_seconds(60)

        assert room.kinds()[2:] == []


class TestBounds:
    def test_heartbeats_of_too_many_names_are_not_remembered(self) -> None:
        """Whoever writes to the topic cannot fill the state."""
        watch = Watch([], START_MS)
        for number in range(MAX_WATCHED + 5):
            watch.beat(beat(f"a{number}"), START_MS)

        assert watch.standing(f"a{MAX_WATCHED - 1}") is not None
        assert watch.standing(f"a{MAX_WATCHED}") is None

    def test_processes_of_too_many_names_are_one_living_agent(self) -> None:
        """An agent is heard whoever speaks for it; events list twenty processes at most."""
        watch = Watch([], START_MS)
        for number in range(MAX_INSTANCES + 5):
            watch.beat(beat("a", str(number)), START_MS)
        for second in range(0, 40, 2):
            watch.echo(START_MS + second * 1000)
        (change,) = watch.look(START_MS + 40_000)

        assert (change.kind, len(change.instances)) == ("failed", 20)


_PIECES = st.lists(
    st.tuples(
        st.sampled_from(["cut", "whole", "kill a", "start a", "kill b", "start b", "restart"]),
        st.integers(1, 40),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(_PIECES)
def test_changes_alternate_and_the_truth_is_known_in_the_end(
    pieces: list[tuple[str, int]],
) -> None:
    """Whatever happens, nobody fails twice without a recovery between, and a quiet minute later the watch is right."""
    room = Room()
    room.alive = {("a", "0"): False, ("b", "0"): False}
    room.pass_seconds(4)
    for what, seconds in pieces:
        match what.split():
            case ["cut"]:
                room.is_cut = True
            case ["whole"]:
                room.is_cut = False
            case ["kill", name]:
                room.alive.pop((name, "0"), None)
            case ["start", name]:
                room.alive[name, "0"] = False
            case ["restart"]:
                room.restart()
        room.pass_seconds(seconds)
    room.is_cut = False
    room.pass_seconds(60)

    for name in ("a", "b"):
        kinds = [kind for kind, agent in room.kinds() if agent == name]
        assert kinds[0] == "joined"
        assert all(
            kind == ("failed" if at % 2 else "recovered") for at, kind in enumerate(kinds, 0) if at
        )
        assert (name in room.watch.failed) == ((name, "0") not in room.alive)
