"""Creates Kafka topics as `signalbox.topics` states them, and says where an existing one differs."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import kafka
import kafka.admin
from kafka.errors import KafkaError, TopicAlreadyExistsError

from connectors.kafka_security import python_options
from signalbox.errors import ConfigurationError, StackError
from signalbox.kafka_settings import PLAINTEXT, KafkaSecuritySettings, KafkaSettings
from signalbox.topics import TOPICS, TopicSpec, agent_tasks, full_name, spec_of

_CREATE_TIMEOUT_MS: Final = 20_000
MAX_TOPICS_A_REQUEST: Final = 100
"""A KRaft controller refuses a request of more than 10,000 records; a task topic is nine (*seen*: 2,000 at once were refused)."""
_SAID_CHARS: Final = 500
_CLOCK: Final = "message.timestamp.type"

# The client has no types; naming it Any once keeps the calls readable.
_AdminClient: Any = kafka.KafkaAdminClient
_ConfigResource: Any = kafka.admin.ConfigResource
_TOPIC: Any = kafka.admin.ConfigResourceType.TOPIC


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `ensure_topics` did. `warnings` are sentences about existing topics that differ from the table."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    warnings: tuple[str, ...]


def topic_config(spec: TopicSpec) -> dict[str, str]:
    """Return a topic's configuration for Kafka."""
    config = {
        "retention.ms": str(spec.retention_ms),
        "max.message.bytes": str(spec.max_message_bytes),
        "cleanup.policy": "compact" if spec.compacted else "delete",
        # By the sender's clock, one that is an hour ahead is refused by the broker, and what one writes that is a week behind
        # is removed before it is read.
        _CLOCK: "LogAppendTime",
    }
    if spec.compacted:
        # Small and read from the start by every process: compact early, keep tombstones a day.
        config |= {"segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
    return config


def ensure_topics(
    bootstrap_servers: str,
    *,
    prefix: str = "",
    agents: Iterable[str] = (),
    fixed: bool = True,
    security: KafkaSecuritySettings = PLAINTEXT,
) -> TopicReport:
    """Create the topics that are missing: all fixed ones (unless not `fixed`) and those of `agents`.

    Idempotent; an existing topic is never changed, only compared.

    Raises:
        StackError: the broker cannot be reached, or refuses.
    """
    names = [*(TOPICS if fixed else ()), *(agent_tasks(agent) for agent in agents)]
    specs = {full_name(prefix, name): spec_of(name) for name in names}
    try:
        admin = _AdminClient(bootstrap_servers=bootstrap_servers, **python_options(security))
        try:
            return _ensure(admin, specs)
        finally:
            admin.close()
    except KafkaError as error:
        # The client's words begin with the error's name, and repeat the request, which may be of two thousand topics.
        msg = (
            f"topics cannot be created on {bootstrap_servers}: {str(error)[:_SAID_CHARS]}; "
            "`signalbox doctor` says whether the broker answers and lets this user in"
        )
        raise StackError(msg) from error


def ensure_topics_of(
    settings: KafkaSettings, agents: Iterable[str], *, fixed: bool = True
) -> TopicReport:
    """Do what `ensure_topics` does on the Kafka that the settings name, under their prefix and with their security."""
    return ensure_topics(
        settings.servers,
        prefix=settings.topic_prefix,
        agents=agents,
        fixed=fixed,
        security=settings.security,
    )


def answers(
    bootstrap_servers: str,
    *,
    timeout_ms: int = 3000,
    security: KafkaSecuritySettings = PLAINTEXT,
) -> bool:
    """Return whether a broker answers there."""
    return complaint(bootstrap_servers, timeout_ms=timeout_ms, security=security) is None


def complaint(
    bootstrap_servers: str,
    *,
    timeout_ms: int = 3000,
    security: KafkaSecuritySettings = PLAINTEXT,
) -> str | None:
    """Return why no broker answers there (nobody listens, the login or certificate is refused); None where one does."""
    with _connection_failures() as failures:
        try:
            admin = _AdminClient(
                bootstrap_servers=bootstrap_servers,
                request_timeout_ms=timeout_ms,
                bootstrap_timeout_ms=timeout_ms,
                **python_options(security),
            )
        except (KafkaError, OSError, ValueError, ConfigurationError) as error:
            return _most_telling(failures, security) or _said(error)
    try:
        return None if admin.describe_cluster()["brokers"] else "it names no broker"
    except KafkaError as error:
        return _said(error)
    finally:
        admin.close()


@contextlib.contextmanager
def _connection_failures() -> Iterator[list[str]]:
    """Collect why connections failed: the client tries again until its time is up, and tells the reasons to its log only."""
    failures: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: failures.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("kafka.net.manager")
    log.addHandler(handler)
    try:
        yield failures
    finally:
        log.removeHandler(handler)


def _most_telling(failures: Sequence[str], security: KafkaSecuritySettings) -> str | None:
    """Return the reason that names a login or a certificate; a refused login may also look like a lost connection (seen)."""
    reasons = [text.partition(" failed: ")[2].partition(" (backoff")[0] for text in failures]
    named = [text for text in reasons if re.search(r"uthentication|SSL|ertificate", text)]
    if named or not reasons:
        return next(iter(named), None)
    hint = " (a wrong username or password can look like this)" if security.uses_sasl else ""
    return f"{reasons[-1]}{hint}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _ensure(admin: Any, specs: dict[str, TopicSpec]) -> TopicReport:
    known = set(admin.list_topics())
    existing = tuple(name for name in specs if name in known)
    missing = tuple(name for name in specs if name not in known)
    if missing:
        _create(admin, {name: specs[name] for name in missing})
    warnings = _differences(admin, {name: specs[name] for name in existing}) if existing else ()
    return TopicReport(missing, existing, tuple(warnings))


def _create(admin: Any, specs: dict[str, TopicSpec]) -> None:
    request = {
        name: {
            "num_partitions": spec.partitions,
            "replication_factor": -1,  # the broker's default: 1 locally, what its owner chose elsewhere
            "configs": topic_config(spec),
        }
        for name, spec in specs.items()
    }
    names = list(request)
    for start in range(0, len(names), MAX_TOPICS_A_REQUEST):
        some = names[start : start + MAX_TOPICS_A_REQUEST]
        # Another `up` or `agents apply` may be faster with one of them; each of the others is still created.
        with contextlib.suppress(TopicAlreadyExistsError):
            admin.create_topics(
                {name: request[name] for name in some}, timeout_ms=_CREATE_TIMEOUT_MS
            )
        admin.wait_for_topics(some)


def _differences(admin: Any, specs: dict[str, TopicSpec]) -> Sequence[str]:
    resources = [_ConfigResource(_TOPIC, name, None) for name in specs]
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    partitions = {
        topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(specs))
    }
    found: list[str] = []
    for name, spec in specs.items():
        if partitions.get(name) != spec.partitions:
            found.append(
                f"topic {name} has {partitions.get(name)} partitions, not {spec.partitions}"
            )
        wanted = topic_config(spec)
        for key in ("retention.ms", "max.message.bytes", "cleanup.policy"):
            actual = str(described[name][key]["value"])
            if actual != wanted[key]:
                found.append(
                    f"topic {name} has {key}={actual}, Signalbox creates it with {wanted[key]}"
                    + (
                        "; an id seen longer ago than that is not recognised as a duplicate"
                        if key == "retention.ms"
                        else ""
                    )
                )
    return [*found, *_by_senders_clock(described, specs)]


def _by_senders_clock(described: Any, names: Iterable[str]) -> Iterator[str]:
    """Yield one sentence for all topics whose records carry the sender's time: topics of versions before have it all alike."""
    if found := [name for name in names if described[name][_CLOCK]["value"] != "LogAppendTime"]:
        yield (
            f"{len(found)} topics have {_CLOCK}=CreateTime, Signalbox creates them with LogAppendTime: {', '.join(found[:5])}"
            f"{', …' if found[5:] else ''}; a sender whose clock is wrong by hours may be refused, or its records removed unread"
        )
