"""`python -m agents NAME [--instance N]`: run one agent process. Settings come from the environment."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

import orjson
import structlog

from agents.process import AgentProcess
from connectors.kafka import KafkaBroker
from signalbox.errors import SignalboxError
from signalbox.settings import Settings

EXIT_ERROR = 1


class EveryFewSeconds(logging.Filter):
    """Lets one line through per interval: a client without its broker would fill a disk."""

    def __init__(self, interval_seconds: float = 5.0) -> None:
        super().__init__()
        self._interval_seconds = interval_seconds
        self._quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether this line is written."""
        if record.created < self._quiet_until:
            return False
        self._quiet_until = record.created + self._interval_seconds
        return True


class JsonLine(logging.Formatter):
    """Writes what libraries log in the shape of our own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object."""
        fields = {
            "event": "library",
            "logger": record.name,
            "detail": record.getMessage(),
            "level": record.levelname.lower(),
        }
        return orjson.dumps(fields).decode()


def configure_logging() -> None:
    """Log JSON lines to stdout; the Kafka client only speaks up when something is wrong, and not all the time."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(EveryFewSeconds())
    handler.setFormatter(JsonLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("kafka").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the process and return its exit code: 0 drained, 1 an error, 2 misuse, 3 replaced by another process."""
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    parser.add_argument("name", help="the agent, as its definition names it")
    parser.add_argument(
        "--instance", default="0", help="tells processes of one agent apart; keep it over restarts"
    )
    chosen = parser.parse_args(arguments)
    configure_logging()
    settings = Settings()
    broker = KafkaBroker.of(settings.kafka)
    process = AgentProcess(chosen.name, broker, settings, instance=chosen.instance)
    try:
        return asyncio.Runner().run(process.run())
    except SignalboxError as error:
        structlog.get_logger().error("agent.ended", agent=chosen.name, detail=str(error))
        return EXIT_ERROR


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # A blocking handler that outlived its timeout still has its thread; waiting for it would hold up `down`.
    os._exit(code)
