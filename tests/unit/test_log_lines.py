"""What libraries log through us: not all of it, and nothing of one is hidden by another."""

from __future__ import annotations

import logging
import sys

import orjson

from agents.log_lines import EveryFewSeconds, JsonLine


def line(logger: str, at: float, text: str = "Connection failed") -> logging.LogRecord:
    made = logging.LogRecord(logger, logging.ERROR, "", 0, text, (), None)
    made.created = at
    return made


def test_a_client_without_its_broker_hides_nobody_elses_error() -> None:
    """One line of each logger in so many seconds: what the server says of a request is not the broker's noise."""
    lets_through = EveryFewSeconds(5.0).filter

    assert lets_through(line("kafka", 0))
    assert not lets_through(line("kafka", 1))
    assert lets_through(line("uvicorn.error", 1))
    assert not lets_through(line("kafka", 4.9))
    assert lets_through(line("kafka", 5))


def test_an_exception_of_a_library_is_told_with_its_traceback() -> None:
    """Without it there is an error and nowhere to look."""
    try:
        raise ValueError("of the request")
    except ValueError:
        record = line("uvicorn.error", 0, "Exception in ASGI application")
        record.exc_info = sys.exc_info()
    said = orjson.loads(JsonLine().format(record))

    assert (said["logger"], said["detail"]) == ("uvicorn.error", "Exception in ASGI application")
    assert "ValueError: of the request" in said["exception"]
    assert "exception" not in orjson.loads(JsonLine().format(line("kafka", 0)))
