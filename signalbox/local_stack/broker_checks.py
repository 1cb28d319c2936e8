"""What `doctor` looks at on the broker: whether it answers us, and whether somebody uses our names there."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.broker import BrokerError
from connectors.heartbeats import recent_agents
from connectors.kafka import KafkaBroker
from connectors.topic_admin import complaint
from signalbox.kafka_settings import KafkaSettings
from signalbox.local_stack.check import Check


def broker_check(kafka: KafkaSettings, *, is_outside: bool) -> Check:
    """Look whether the broker answers, and say why not: nobody there, the login, a certificate."""
    wrong = complaint(kafka.servers, security=kafka.security)
    if wrong is None:
        return Check("broker", True, f"{kafka.servers} ({kafka.security.protocol})")
    fix = (
        "start it, correct SIGNALBOX_KAFKA__SECURITY__…, or unset SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS to use one of our own"
        if is_outside
        else "see logs/broker.log"
    )
    return Check("broker", False, f"{kafka.servers}: {wrong}", fix)


def names_check(kafka: KafkaSettings) -> Check:
    """Look for agents that this stack did not start: a second deployment would share their groups and transactional ids."""
    prefix = kafka.topic_prefix
    try:
        others = recent_agents(KafkaBroker.of(kafka), prefix, datetime.now(UTC))
    except BrokerError as error:
        return Check("names", False, str(error), "see SIGNALBOX_KAFKA__SECURITY__… and the ACLs")
    shown = f"topics {prefix or 'without a prefix'}"
    if not others:
        return Check("names", True, f"no agents are alive on {shown}")
    return Check(
        "names",
        False,
        f"{', '.join(sorted(others))} alive on {shown}, and this stack did not start them",
        "before `signalbox up`: stop that deployment, or SIGNALBOX_KAFKA__TOPIC_PREFIX=<name>. "
        "(consumer groups and transactional ids follow it)",
    )
