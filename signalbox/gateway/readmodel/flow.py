"""The numbers of a window from the read model's tables: as `signalbox.cli.flow_facts` makes them of all facts, at a bounded cost.

What is open is looked for by SQL and looked into by the same functions as there, in at most `MAX_OPEN` conversations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson
from pydantic_core import from_json

from signalbox.cli.facts import Fact
from signalbox.cli.flow_open import OpenThings
from signalbox.flow.window import MAX_HOPS, MAX_OPEN, FlowWindow, Hops, Seen, Span, hops_of
from signalbox.gateway.readmodel.minutes import MinuteCounts
from signalbox.gateway.readmodel.queries import OPEN_LETTER, ReadModel
from signalbox.gateway.readmodel.tables import facts_from
from signalbox.topics import AGENT_TASKS_PREFIX

_UNDECIDED: Final = """
SELECT id FROM conversation WHERE last_ms >= ? AND last_ms < ? AND (
    SELECT topic FROM record INDEXED BY record_by_conversation
    WHERE conversation = conversation.id ORDER BY at_ms DESC LIMIT 1
) = 'agent_messages' ORDER BY last_ms DESC
"""
_WAITED_FOR: Final = """
SELECT DISTINCT name.conversation AS id FROM task INDEXED BY task_open JOIN name ON name.id = task.id
JOIN conversation ON conversation.id = name.conversation
WHERE answered_ms IS NULL AND given_ms >= ? AND given_ms < ? AND (ended_ms IS NULL OR ended_ms < given_ms)
ORDER BY given_ms DESC
"""
_ASKED: Final = """
SELECT DISTINCT review.conversation AS id FROM review LEFT JOIN conversation ON conversation.id = review.conversation
WHERE deadline_ms > ? AND (ended_ms IS NULL OR ended_ms <= opened_ms) ORDER BY opened_ms DESC
"""
_LETTERS: Final = f"""
SELECT reason, count(*) AS number, max(printf('%016d', at_ms) || partition || ':' || offset) AS newest
FROM dead_letter d WHERE at_ms >= ? AND at_ms < ? AND {OPEN_LETTER} GROUP BY reason
"""
_AT_DIGITS: Final = 16
_NEWEST_TASKS: Final = """
SELECT at_ms, topic, partition, offset, conversation, value FROM record INDEXED BY record_by_age
WHERE topic = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms DESC, partition DESC, offset DESC LIMIT ?
"""
_MESSAGES: Final = """
SELECT at_ms, value FROM record INDEXED BY record_by_conversation
WHERE conversation = ? AND topic = 'agent_messages' AND at_ms < ? ORDER BY at_ms
"""


def flow_window(
    model: ReadModel, counts: MinuteCounts, span: Span, living: Collection[str]
) -> FlowWindow:
    """Return the numbers of a window; `living` are the agents that send heartbeats.

    Raises:
        NotReadyError: the read model is not there yet.
    """

    def ask(connection: sqlite3.Connection) -> FlowWindow:
        opened = OpenThings()
        candidates = _candidates(connection, span)
        for conversation, facts in _facts_of(connection, candidates[:MAX_OPEN], span).items():
            opened.take(conversation, facts, span, living)
        return FlowWindow.of(
            span,
            counts.read(connection, span),
            hops=_hops(connection, span.begin_ms, span.end_ms),
            hops_before=_hops(connection, span.before_ms, span.begin_ms),
            dead_letters=_letters(connection, span),
            left_out=max(0, len(candidates) - MAX_OPEN),
            **opened.fields(span.end_ms),
        )

    return model.ask(ask)


def _candidates(connection: sqlite3.Connection, span: Span) -> list[str]:
    """Return the conversations in which something may be open: wrong only in naming too many."""
    since = (span.open_ms, span.end_ms)
    rows = [
        *connection.execute(_UNDECIDED, since),
        *connection.execute(_WAITED_FOR, since),
        *connection.execute(_ASKED, (span.end_ms,)),
    ]
    return list(dict.fromkeys(row["id"] for row in rows))


def _facts_of(
    connection: sqlite3.Connection, conversations: list[str], span: Span
) -> Mapping[str, list[Fact]]:
    found: dict[str, list[Fact]] = {one: [] for one in conversations}
    facts = facts_from(
        connection,
        "SELECT * FROM record INDEXED BY record_by_conversation "
        "WHERE conversation IN (SELECT value FROM json_each(?)) AND at_ms < ?",
        (orjson.dumps(conversations).decode(), span.end_ms),
    )
    for fact in facts:
        if fact.conversation_id is not None:
            found[fact.conversation_id].append(fact)
    return found


def _letters(connection: sqlite3.Connection, span: Span) -> Mapping[str, Seen]:
    rows = connection.execute(_LETTERS, (span.begin_ms, span.end_ms))
    return {row["reason"]: Seen(row["number"], row["newest"][_AT_DIGITS:]) for row in rows}


def _hops(connection: sqlite3.Connection, begin_ms: int, end_ms: int) -> Hops:
    agents = connection.execute("SELECT DISTINCT agent FROM task").fetchall()
    tasks: list[Any] = []
    for (agent,) in agents:
        within = (AGENT_TASKS_PREFIX + agent, begin_ms, end_ms, MAX_HOPS)
        tasks += connection.execute(_NEWEST_TASKS, within)
    tasks.sort(key=lambda row: (row["at_ms"], row["topic"], row["partition"], row["offset"]))
    waited = []
    for task in tasks[-MAX_HOPS:]:
        cause = from_json(task["value"]).get("causationid")
        for message in connection.execute(_MESSAGES, (task["conversation"], end_ms)):
            if from_json(message["value"])["id"] == cause:
                waited.append(max(0, task["at_ms"] - message["at_ms"]))
                break
    return hops_of(waited)
