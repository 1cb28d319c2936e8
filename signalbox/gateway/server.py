"""The gateway as a process: `python -m signalbox.gateway`, which `signalbox up` starts beside the agents."""

from __future__ import annotations

import gc
import secrets
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
import uvicorn

from agents.log_lines import configure_logging
from connectors.broker import BrokerError, Producer
from connectors.kafka import KafkaBroker
from connectors.prometheus import TargetFile
from connectors.topic_admin import ensure_topics_of
from connectors.topic_lag import topic_statuses
from signalbox.engine import engine_policy
from signalbox.errors import ConfigurationError
from signalbox.gateway.access import Access, is_loopback
from signalbox.gateway.app import create_app
from signalbox.gateway.definitions import Definitions
from signalbox.gateway.engine import engine_levels, flink_url
from signalbox.gateway.head import BoundedHeadProtocol
from signalbox.gateway.key_place import keys_file
from signalbox.gateway.keys import KeyRing, read_keys
from signalbox.gateway.parts import Parts
from signalbox.gateway.publisher import Publisher
from signalbox.gateway.rate import RateLimit
from signalbox.gateway.reach import require_answer
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import ReadModel
from signalbox.local_stack.gateway import EXIT_MISCONFIGURED
from signalbox.settings import Settings
from signalbox.topics import agent_tasks, full_name

DRAIN_SECONDS: Final = 5
_SWITCH_SECONDS: Final = 0.001


def parts_of(settings: Settings) -> Parts:
    """Return the parts of a real gateway; connects to nothing yet.

    Raises:
        ConfigurationError: everybody could call, or nobody.
    """
    gateway = settings.gateway
    path = keys_file(settings)
    if not read_keys(path) and not is_loopback(gateway.host) and gateway.keyless != "anyone":
        msg = (
            f"SIGNALBOX_GATEWAY__HOST={gateway.host} listens beyond this machine, and {path} has no API key: nobody could call; "
            "make one with `signalbox keys create NAME --scope read --scope send`"
        )
        raise ConfigurationError(msg)
    broker = KafkaBroker.of(settings.kafka)
    read_model = ReadModel(ReadModelPlace.of(settings))
    return Parts(
        settings=settings,
        broker=broker,
        publisher=Publisher(
            partial(_producer, settings, broker),
            ack_seconds=gateway.ack_seconds,
            max_waiting=gateway.max_waiting,
        ),
        access=Access(KeyRing(path, time.monotonic), gateway.keyless),
        rate=RateLimit(gateway.max_requests_per_second),
        read_model=read_model,
        definitions=Definitions(read_model, engine_policy(settings)),
        lag_of=partial(_lag_of, settings),
        engine_levels=partial(engine_levels, flink_url(settings)),
        make_task_topic=lambda name: ensure_topics_of(settings.kafka, [name], fixed=False),
        now=lambda: datetime.now(UTC),
        new_id=lambda prefix: f"{prefix}-{secrets.token_hex(8)}",
    )


def _producer(settings: Settings, broker: KafkaBroker) -> Producer:
    require_answer(settings.kafka)
    return broker.producer()


def _lag_of(settings: Settings, agent: str) -> int | None:
    topic = full_name(settings.kafka.topic_prefix, agent_tasks(agent))
    group = f"{settings.kafka.group_prefix}agent_{agent}"
    with suppress(BrokerError):
        for status in topic_statuses(settings.kafka, [topic]):
            # A group that never committed has taken nothing to an end.
            return status.lag.get(group, status.offsets)
    return None


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; what was taken is acknowledged first.

    Raises:
        ConfigurationError: see `parts_of`.
    """
    parts = parts_of(settings)
    # The broker's threads hand the interpreter back sooner, or each request waits for them.
    sys.setswitchinterval(_SWITCH_SECONDS)
    if settings.metrics.enabled:
        # It stays when the gateway ends: at this port it is missing then, and nobody else is there.
        file = TargetFile(settings, "gateway", {"job": "gateway"}, host=settings.gateway.host)
        file.announce(settings.gateway.port)
    app = create_app(parts)
    # A full collection looks at every object of the libraries: 80 to 130 ms in which nobody is answered, every few thousand
    # messages. Measured at 750 a second: p99 81 ms with it, 21 without.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.gateway.host,
        port=settings.gateway.port,
        loop="uvloop",
        http=BoundedHeadProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        # A header must not make a caller from elsewhere one of this machine.
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def main() -> int:
    """Serve with the settings of the environment; exit code 4 where they cannot be served with."""
    configure_logging()
    try:
        serve(Settings())
    except ConfigurationError as error:
        structlog.get_logger().error("gateway.ended", detail=str(error))
        return EXIT_MISCONFIGURED
    return 0
