"""Who may do what on the broker: the least that jobs, agents, sources and an operator's command line need, as data.

A user for each, so that an agent, which runs code of others, can neither write a decision nor read leads. Kafka implies
Describe in Read and Write, and an idempotent producer in Write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from signalbox.topics import (
    AGENT_CONTROL,
    AGENT_DECISIONS,
    AGENT_HEARTBEATS,
    AGENT_MESSAGES,
    AGENT_MESSAGES_DLQ,
    AGENT_OUTCOMES,
    AGENT_REGISTRY,
    AGENT_REVIEW,
    AGENT_TASKS_PREFIX,
    DEAD_LETTER_MARKS,
    INCOMING_LEADS,
    SOURCE_PROGRESS,
    TOPICS,
    full_name,
)

Resource = Literal["topic", "group", "transactionalId", "cluster"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]

JOBS: Final = "signalbox-jobs"
AGENTS: Final = "signalbox-agents"
OPERATOR: Final = "signalbox-operator"
SOURCES: Final = "signalbox-sources"
GATEWAY: Final = "signalbox-gateway"
USERS: Final = (JOBS, AGENTS, OPERATOR, SOURCES, GATEWAY)

JOB_NAMES: Final = ("orchestrate", "incoming_leads")


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission. With `is_prefix`, for every name that begins with `name`."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False


def rules(user: str, *, topic_prefix: str = "", group_prefix: str = "") -> tuple[Rule, ...]:
    """Return what one of `USERS` may do, with names as they are on the broker.

    Raises:
        KeyError: no such user.
    """
    made = {
        JOBS: _jobs,
        AGENTS: _agents,
        OPERATOR: _operator,
        SOURCES: _sources,
        GATEWAY: _gateway,
    }
    return tuple(made[user](topic_prefix, group_prefix))


def _jobs(topic_prefix: str, group_prefix: str) -> Iterator[Rule]:
    yield from _topics(topic_prefix, (INCOMING_LEADS, AGENT_REGISTRY), "Read")
    written = (
        AGENT_MESSAGES,
        AGENT_HEARTBEATS,
        AGENT_DECISIONS,
        AGENT_OUTCOMES,
        AGENT_REVIEW,
        AGENT_MESSAGES_DLQ,
        AGENT_CONTROL,
    )
    # Read too: transactional ids come from a pool (sql/_kafka.sql), so a job that starts asks who has a transaction open on
    # what it writes, and Kafka answers only those who may read it.
    yield from _topics(topic_prefix, written, "Read", "Write")
    yield _tasks(topic_prefix, "Read", "Write")
    for job in JOB_NAMES:
        yield Rule("group", f"{group_prefix}{job}", ("Read",))
        # As sql/_kafka.sql names them.
        transactional = f"{group_prefix}{topic_prefix}{job}-"
        yield Rule("transactionalId", transactional, ("Write", "Describe"), is_prefix=True)


def _agents(topic_prefix: str, group_prefix: str) -> Iterator[Rule]:
    yield from _topics(topic_prefix, (AGENT_REGISTRY, AGENT_CONTROL), "Read")
    yield _tasks(topic_prefix, "Read")
    written = (AGENT_MESSAGES, AGENT_MESSAGES_DLQ, AGENT_HEARTBEATS)
    yield from _topics(topic_prefix, written, "Write")
    yield Rule("group", f"{group_prefix}agent_", ("Read",), is_prefix=True)
    yield Rule("transactionalId", f"{group_prefix}agent_", ("Write", "Describe"), is_prefix=True)


def _sources(topic_prefix: str, group_prefix: str) -> Iterator[Rule]:
    yield from _topics(topic_prefix, (SOURCE_PROGRESS,), "Read", "Write")
    yield from _topics(topic_prefix, (INCOMING_LEADS, AGENT_MESSAGES_DLQ), "Write")
    yield Rule(
        "transactionalId",
        f"{group_prefix}{topic_prefix}source-",
        ("Write", "Describe"),
        is_prefix=True,
    )


def _gateway(topic_prefix: str, group_prefix: str) -> Iterator[Rule]:
    # Sends messages, says that dead letters are done with, and reads everything that its read model is made of.
    yield from _topics(topic_prefix, (AGENT_MESSAGES, DEAD_LETTER_MARKS), "Read", "Write")
    read = (
        AGENT_DECISIONS,
        AGENT_OUTCOMES,
        AGENT_REVIEW,
        AGENT_MESSAGES_DLQ,
        AGENT_HEARTBEATS,
    )
    yield from _topics(topic_prefix, read, "Read")
    # Definitions: the agent's topic first, then a transaction on the registry, as the operator's command line does.
    yield from _topics(topic_prefix, (AGENT_REGISTRY,), "Read", "Write")
    yield _tasks(topic_prefix, "Read", "Create", "DescribeConfigs")
    yield Rule("transactionalId", full_name(topic_prefix, AGENT_REGISTRY), ("Write", "Describe"))
    yield Rule("group", f"{group_prefix}agent_", ("Describe",), is_prefix=True)
    # The trace exporter beside it, where one runs.
    yield Rule("group", f"{group_prefix}trace_exporter", ("Read",))
    yield Rule("cluster", "kafka-cluster", ("Describe",))


def _operator(topic_prefix: str, group_prefix: str) -> Iterator[Rule]:
    # Creates topics, compares them with the table, applies definitions, sends, replays dead letters, reads everything.
    everything: tuple[Operation, ...] = ("Read", "Write", "Create", "DescribeConfigs")
    yield from _topics(topic_prefix, TOPICS, *everything)
    yield _tasks(topic_prefix, *everything)
    # Changes of the definitions are transactions, one after the other, under the registry's own name.
    yield Rule("transactionalId", full_name(topic_prefix, AGENT_REGISTRY), ("Write", "Describe"))
    # Lag: the groups' offsets are read, never joined.
    for job in JOB_NAMES:
        yield Rule("group", f"{group_prefix}{job}", ("Describe",))
    yield Rule("group", f"{group_prefix}agent_", ("Describe",), is_prefix=True)
    yield Rule("cluster", "kafka-cluster", ("Describe",))


def _topics(topic_prefix: str, names: Iterable[str], *operations: Operation) -> Iterator[Rule]:
    for name in names:
        yield Rule("topic", full_name(topic_prefix, name), operations)


def _tasks(topic_prefix: str, *operations: Operation) -> Rule:
    return Rule("topic", full_name(topic_prefix, AGENT_TASKS_PREFIX), operations, is_prefix=True)
