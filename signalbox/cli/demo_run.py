"""The demo's run: seed the leads, then follow the topics until every lead ended. Works on any broker, the memory twin too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from connectors.broker import Broker, Producer
from connectors.topic_reader import follow_topics
from signalbox.cli.demo_leads import Seed
from signalbox.cli.demo_progress import Progress
from signalbox.cli.facts import CONVERSATION_TOPICS, Fact, facts_of
from signalbox.contracts.outcome import Outcome
from signalbox.topics import agent_tasks, full_name

_POLL_SECONDS: Final = 0.1
_ACK_SECONDS: Final = 30.0


def run(
    broker: Broker,
    seeds: Sequence[Seed],
    agents: Sequence[str],
    *,
    prefix: str,
    is_over: Callable[[Progress], bool],
) -> Iterator[tuple[Progress, tuple[Fact, ...]]]:
    """Send the seeds, then yield the progress with the new facts at every poll, until `is_over` and all is read.

    Args:
        broker: where the stack listens.
        seeds: the conversations to start.
        agents: whose task topics are followed.
        prefix: of the topics' names.
        is_over: asked after every poll.

    Raises:
        BrokerError: the broker went away.
    """
    topics = [full_name(prefix, t) for t in (*CONVERSATION_TOPICS, *map(agent_tasks, agents))]
    batches = follow_topics(
        broker, topics, is_stopped=lambda: False, from_beginning=False, poll_seconds=_POLL_SECONDS
    )
    # The first poll fixes where reading starts, so it comes before the first lead.
    next(batches)
    progress = Progress({seed.conversation: seed.label for seed in seeds})
    producer = broker.producer()
    try:
        _send(producer, seeds, prefix)
    finally:
        producer.close()
    for batch in batches:
        facts = sorted(facts_of(batch, prefix), key=_in_story_order)
        for fact in facts:
            progress.see(fact)
        yield progress, tuple(facts)
        # Topics are read side by side: an outcome may be seen before the decisions that led to it.
        if is_over(progress) and not batch:
            return


def _in_story_order(fact: Fact) -> tuple[int, bool]:
    return fact.at_ms, isinstance(fact.body, Outcome)


def _send(producer: Producer, seeds: Sequence[Seed], prefix: str) -> None:
    deliveries = [
        producer.send(
            full_name(prefix, seed.topic),
            key=seed.conversation.encode(),
            value=seed.value,
            headers=seed.headers,
        )
        for seed in seeds
    ]
    for delivery in deliveries:
        delivery.result(_ACK_SECONDS)


class Stopwatch:
    """Seconds since it was made, and whether a limit has passed."""

    def __init__(self, limit_seconds: float) -> None:
        self._began = time.monotonic()
        self._limit = limit_seconds

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began

    @property
    def is_over(self) -> bool:
        """Whether the limit has passed."""
        return self.seconds > self._limit
