"""The numbers of the read model's process: how far it reads, how long hops take, and what is open, as its own tables say."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final

from prometheus_client.core import Metric as Family

from connectors.broker import ConsumedRecord, Partition
from connectors.prometheus import Samples, family
from signalbox.gateway.readmodel.hops import Hops
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import OPEN_LETTER, NotReadyError, ReadModel
from signalbox.gateway.readmodel.schema import open_to_read
from signalbox.metric_names import ReadModelMetric

LOOK_EVERY_SECONDS: Final = 5.0
"""How long what the tables said is said again: whoever asks more often costs nothing more."""

OPEN: Final[dict[ReadModelMetric, str]] = {
    "signalbox_readmodel_open_tasks": (
        "SELECT agent, count(*) FROM task INDEXED BY task_open WHERE answered_ms IS NULL AND given_ms >= 0 GROUP BY agent"
    ),
    "signalbox_readmodel_open_dead_letters": (
        f"SELECT reason, count(*) FROM dead_letter d WHERE {OPEN_LETTER} GROUP BY reason"
    ),
    # An event that nobody hears has neither a decision nor ever an outcome.
    "signalbox_readmodel_open_conversations": (
        "SELECT count(*) FROM conversation WHERE status IS NULL AND decisions > 0"
    ),
}


class Measurements:
    """What the follower counts, and what is asked of its tables when Prometheus asks.

    Args:
        place: of the tables.
        prefix: of the topics' names.
        active: the names of the agents that are active now.
        now: a monotonic clock, seconds.
        now_ms: the clock, ms since 1970.
    """

    def __init__(
        self,
        place: ReadModelPlace,
        prefix: str,
        *,
        active: Callable[[], Iterable[str]],
        now: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self.hops = Hops(prefix)
        self.records = 0
        self.behind = 0
        self.is_up = False
        self._place = place
        self._read_model = ReadModel(place)
        self._active = active
        self._now = now
        self._now_ms = now_ms
        self._said: tuple[Family, ...] = ()
        self._look_at = float("-inf")
        self._began_ms = now_ms()

    def take(self, records: Iterable[ConsumedRecord], new: int) -> None:
        """Count records that were read, `new` of them for the first time."""
        self.records += new
        self.hops.take(records)

    def look(self, ends: Mapping[Partition, int], positions: Mapping[Partition, int]) -> None:
        """Note how far the topics are read."""
        self.behind = sum(max(0, end - positions[one]) for one, end in ends.items())

    def families(self) -> Iterable[Family]:
        """Return the metrics as they are now."""
        yield family("signalbox_readmodel_records_total", self.records)
        yield family("signalbox_readmodel_behind_records", self.behind)
        yield family("signalbox_readmodel_broker_up", int(self.is_up))
        yield family("signalbox_readmodel_hop_seconds", self.hops.seconds)
        if self._now() >= self._look_at:
            self._look_at = self._now() + LOOK_EVERY_SECONDS
            self._said = tuple(self._of_the_tables())
        yield from self._said

    def _of_the_tables(self) -> Iterable[Family]:
        try:
            yield from self._counted()
            ages: Samples = {(agent,): age for agent, age in self._ages().items()}
            yield family("signalbox_readmodel_heartbeat_age_seconds", ages)
        except (sqlite3.DatabaseError, NotReadyError):
            # Not there yet, or made anew just now: no numbers instead of wrong ones.
            return

    def _counted(self) -> Iterable[Family]:
        with closing(open_to_read(self._place.current())) as connection:
            for name, statement in OPEN.items():
                rows = [tuple(row) for row in connection.execute(statement)]
                yield family(name, {tuple(map(str, labels)): count for *labels, count in rows})

    def _ages(self) -> dict[str, float]:
        newest: dict[str, int] = {}
        for at_ms, heartbeat in self._read_model.heartbeats():
            newest[heartbeat.agent] = max(at_ms, newest.get(heartbeat.agent, 0))
        now_ms = self._now_ms()
        return {
            agent: max(0, now_ms - newest.get(agent, self._began_ms)) / 1000
            for agent in self._active()
        }
