"""Questions about agents: their definitions, processes and tasks, and who hands off to whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.broker import ConsumedRecord
from signalbox.cli.track_record import TrackRecord, record_of
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.gateway.readmodel.tables import Tables

RECENT_TASKS: Final = 1000


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """An agent's tasks: given and not answered, answered, answered with a failure."""

    open: int
    answered: int
    failed: int


class AgentQueries(Tables):
    """What is known of agents."""

    def heartbeats(self) -> tuple[tuple[int, Heartbeat], ...]:
        """Return the newest heartbeat of every process, with its time on the topic (ms since 1970)."""
        with self._open() as connection:
            rows = connection.execute("SELECT at_ms, value FROM instance ORDER BY agent, instance")
            return tuple((row["at_ms"], Heartbeat.from_json(row["value"])) for row in rows)

    def registry(self, after_offset: int = -1) -> tuple[ConsumedRecord, ...]:
        """Return the records of the registry behind an offset."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT * FROM registry WHERE offset > ? ORDER BY offset", (after_offset,)
            )
            return tuple(
                ConsumedRecord(
                    "agent_registry",
                    0,
                    row["offset"],
                    row["key"].encode(),
                    row["value"],
                    {},
                    row["at_ms"],
                )
                for row in rows
            )

    def track_record(self, agent: str) -> TrackRecord | None:
        """Return how an agent has done its tasks; as `signalbox.cli.track_record` tells it."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT max(0, answered_ms - given_ms) AS took, failed FROM task "
                "WHERE agent = ? AND given_ms IS NOT NULL AND answered_ms IS NOT NULL",
                (agent,),
            ).fetchall()
        return _record(agent, rows)

    def recent_record(self, agent: str) -> TrackRecord | None:
        """Return the same of its newest `RECENT_TASKS` tasks: it costs the same however many there were."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT max(0, answered_ms - given_ms) AS took, failed FROM "
                "(SELECT * FROM task WHERE agent = ? AND given_ms IS NOT NULL ORDER BY given_ms DESC LIMIT ?) "
                "WHERE answered_ms IS NOT NULL",
                (agent, RECENT_TASKS),
            ).fetchall()
        return _record(agent, rows)

    def handoffs(self) -> dict[tuple[str, str], int]:
        """Return how often what one agent said went to another one, by (sender, receiver)."""
        with self._open() as connection:
            rows = connection.execute("SELECT sender, agent, number FROM handoff")
            return {(row["sender"], row["agent"]): row["number"] for row in rows}

    def open_tasks(self, since_ms: int) -> dict[str, int]:
        """Return how many tasks that were given since then each agent has not answered; agents with none are left out."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT agent, count(*) AS number FROM task "
                "WHERE answered_ms IS NULL AND given_ms >= ? GROUP BY agent",
                (since_ms,),
            )
            return {row["agent"]: row["number"] for row in rows}

    def task_counts(self, agent: str, since_ms: int) -> TaskCounts:
        """Return how many tasks of an agent are open, and how those were answered that it got since then."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT count(*) FILTER (WHERE answered_ms IS NULL) AS open, "
                "count(*) FILTER (WHERE answered_ms IS NOT NULL) AS answered, "
                "count(*) FILTER (WHERE answered_ms IS NOT NULL AND failed) AS failed "
                "FROM task WHERE agent = ? AND given_ms >= ?",
                (agent, since_ms),
            ).fetchone()
            return TaskCounts(row["open"], row["answered"], row["failed"])


def _record(agent: str, rows: Sequence[sqlite3.Row]) -> TrackRecord | None:
    return record_of(agent, [row["took"] for row in rows], sum(row["failed"] for row in rows))
