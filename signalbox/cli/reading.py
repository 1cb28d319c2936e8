"""Everything that the topics say about conversations, read to where they end now."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.broker import Broker, BrokerError
from connectors.registry_history import read_history
from connectors.topic_reader import read_topics
from signalbox.cli.facts import CONVERSATION_TOPICS, Fact, facts_of
from signalbox.cli.run_seen import RunSeen
from signalbox.cli.run_shape import Shape, shape_of
from signalbox.contracts.decision import NONE, Decision
from signalbox.engine import engine_policy
from signalbox.settings import Settings
from signalbox.topics import agent_tasks, full_name


def read_facts(settings: Settings, broker: Broker) -> tuple[Fact, ...]:
    """Return the facts of all conversations, the task topics of every agent that was ever chosen included.

    Raises:
        BrokerError: the broker does not answer, or has no topics of ours.
    """
    prefix = settings.kafka.topic_prefix
    fixed = facts_of(read_topics(broker, _names(prefix, CONVERSATION_TOPICS)), prefix)
    agents = {fact.body.agent for fact in fixed if isinstance(fact.body, Decision)} - {NONE}
    tasks = facts_of(read_topics(broker, _names(prefix, map(agent_tasks, sorted(agents)))), prefix)
    return fixed + tasks


def read_shapes(settings: Settings, broker: Broker, runs: Iterable[RunSeen]) -> tuple[Shape, ...]:
    """Return the shape of each run, by the version of its workflow that it ran under, else the newest one, else by its records."""
    known = tuple(runs)
    if not known:
        return ()
    prefix = settings.kafka.topic_prefix
    try:
        versions = read_history(broker, topic_prefix=prefix, engine=engine_policy(settings))
    except BrokerError:  # a broker without a registry still has the records
        return tuple(shape_of(run, None) for run in known)
    shapes = []
    for run in known:
        found = (versions.set_of(run.digest), versions.active)
        defined = (one.workflows.get(run.name or "") for one in found if one is not None)
        shapes.append(shape_of(run, next((one for one in defined if one is not None), None)))
    return tuple(shapes)


def _names(prefix: str, topics: Iterable[str]) -> list[str]:
    return [full_name(prefix, topic) for topic in topics]
