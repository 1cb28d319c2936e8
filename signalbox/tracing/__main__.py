"""The trace exporter as a process: `python -m signalbox.tracing`, which `signalbox up` starts where an endpoint is set."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import closing

import structlog

from agents.log_lines import configure_logging
from connectors.kafka import KafkaBroker
from signalbox.errors import ConfigurationError
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import ReadModel
from signalbox.local_stack.traces import EXIT_MISCONFIGURED, require_traces
from signalbox.settings import Settings


def _endpoint(settings: Settings) -> str:
    require_traces(settings)
    if settings.traces.endpoint is None:
        msg = "SIGNALBOX_TRACES__ENDPOINT is not set; it is an OTLP/HTTP endpoint, like http://127.0.0.1:4318"
        raise ConfigurationError(msg)
    return settings.traces.endpoint


def main() -> int:
    """Export until SIGTERM; exit code 4 where the settings or the installation do not allow it."""
    configure_logging()
    settings = Settings()
    try:
        endpoint = _endpoint(settings)
    except ConfigurationError as error:
        structlog.get_logger().error("traces.ended", detail=str(error))
        return EXIT_MISCONFIGURED
    # Only here: they come with the extra `otel`.
    from signalbox.tracing.exporter import Exporter  # noqa: PLC0415
    from signalbox.tracing.otlp import OtlpSink  # noqa: PLC0415

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    read_model = ReadModel(ReadModelPlace.of(settings))
    with closing(OtlpSink(endpoint)) as sink:
        Exporter(
            KafkaBroker.of(settings.kafka),
            settings.kafka.topic_prefix,
            settings.kafka.group_prefix,
            facts=read_model.facts,
            read_to=read_model.read_to,
            sink=sink,
            is_stopped=stopping.is_set,
            sleep=stopping.wait,
        ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
