"""What a long-running process logs: JSON lines on stdout, its own and those of the libraries it uses."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog


class EveryFewSeconds(logging.Filter):
    """Lets one line of each logger through per interval: a client without its broker would fill a disk, and hide no other's."""

    def __init__(self, interval_seconds: float = 5.0) -> None:
        super().__init__()
        self._interval_seconds = interval_seconds
        self._quiet_until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether this line is written."""
        if record.created < self._quiet_until.get(record.name, 0.0):
            return False
        self._quiet_until[record.name] = record.created + self._interval_seconds
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
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
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
