"""Everything that the topics say about conversations, read to where they end now."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.broker import Broker
from connectors.topic_reader import read_topics
from signalbox.cli.facts import CONVERSATION_TOPICS, Fact, facts_of
from signalbox.contracts.decision import NONE, Decision
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


def _names(prefix: str, topics: Iterable[str]) -> list[str]:
    return [full_name(prefix, topic) for topic in topics]
