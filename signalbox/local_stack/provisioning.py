"""Topics and definitions: made once at `up`, and topics again when somebody deleted one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from connectors.broker import Broker
from connectors.topic_admin import ensure_topics_of
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import StackError
from signalbox.local_stack.fleets import apply_fleets
from signalbox.settings import Settings

Say = Callable[[str | None], None]


def provision(broker: Broker, settings: Settings, definitions: ActiveSet, say: Say) -> None:
    """Make the topics that are missing, then publish `definitions`.

    Raises:
        StackError: the broker refuses.
        BrokerError: it went away.
    """
    made = ensure_topics_of(settings.kafka, definitions.agents)
    for warning in made.warnings:
        say(f"warning: {warning}")
    active = apply_fleets(broker, settings, definitions)
    say(
        f"{len(made.created)} topics created, {len(made.existing)} there already; "
        f"{len(active.agents)} agents active (definitions {active.digest})"
    )


def make_deleted_topics_again(settings: Settings, agents: Iterable[str], say: Say) -> None:
    """Make a topic again that somebody deleted: a sink without its topic stops the whole job, again and again."""
    try:
        made = ensure_topics_of(settings.kafka, agents)
    except StackError:
        return  # the broker is away; its own child says so
    for topic in made.created:
        say(f"warning: topic {topic} was gone and is made again; what was on it is lost")
