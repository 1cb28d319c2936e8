"""What the topics say of one conversation from now on, while something is sent into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final

from connectors.broker import Broker
from connectors.topic_reader import follow_topics
from signalbox.cli.facts import CONVERSATION_TOPICS, Fact, facts_of
from signalbox.topics import full_name

_POLL_SECONDS: Final = 0.1


def follow(
    broker: Broker,
    conversation: str,
    *,
    prefix: str,
    begin: Callable[[], Sequence[Fact]],
    seconds: float,
) -> Iterator[tuple[Fact, ...]]:
    """Yield all that is known of a conversation so far, at every poll, for at most `seconds`.

    Args:
        broker: where.
        conversation: whose facts.
        prefix: of the topics' names.
        begin: called once reading has begun, so that nothing it causes is missed; it sends what there is to send and returns
            what was on the topics before.
        seconds: when to stop, once nothing more comes.

    Raises:
        BrokerError: the broker does not answer, or went away.
    """
    topics = [full_name(prefix, topic) for topic in CONVERSATION_TOPICS]
    batches = follow_topics(
        broker, topics, is_stopped=lambda: False, from_beginning=False, poll_seconds=_POLL_SECONDS
    )
    # The generator holds a connection: it is closed when the caller has seen enough.
    with closing(batches):  # type: ignore[type-var]
        next(batches)
        known = tuple(begin())
        yield known
        until = time.monotonic() + seconds
        for batch in batches:
            known += tuple(
                fact for fact in facts_of(batch, prefix) if fact.conversation_id == conversation
            )
            yield known
            if not batch and time.monotonic() > until:
                return
