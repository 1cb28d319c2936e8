"""What the references share: their arguments, the two topics as tables, and the question they put to the model."""

from __future__ import annotations

import argparse
from typing import Any, Final

from pyflink.table import TableEnvironment

_TABLE: Final = """
    CREATE TABLE {name} (
        `key` STRING,
        `value` BYTES
    ) WITH (
        'connector' = 'kafka',
        'topic' = '{topic}',
        'properties.bootstrap.servers' = '{servers}',
        'properties.isolation.level' = 'read_committed',
        'scan.startup.mode' = 'earliest-offset',
        'key.format' = 'raw',
        'key.fields' = 'key',
        'value.format' = 'raw',
        'value.fields-include' = 'EXCEPT_KEY',
        {delivery},
        'properties.linger.ms' = '1'
    )"""
_DELIVERY: Final = {
    "at_least_once": "'sink.delivery-guarantee' = 'at-least-once'",
    "exactly_once": """'sink.delivery-guarantee' = 'exactly-once',
        'sink.transactional-id-prefix' = '{topic}',
        'properties.transaction.timeout.ms' = '120000'""",
}

ANSWER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["agent"],
    "properties": {"agent": {"type": "string", "enum": ["left", "right", "NONE"]}},
}
SYSTEM_PROMPT: Final = "Name the agent that acts next: left, right or NONE."


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the arguments that every reference takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--bootstrap-servers", required=True, help="HOST:PORT[,…]")
    made.add_argument("--topic-in", required=True)
    made.add_argument("--topic-out", required=True)
    made.add_argument("--model-url", default="", help="http://HOST:PORT/v1; pass_through asks none")
    return made


def declare(
    tables: TableEnvironment, arguments: argparse.Namespace, delivery: str = "at_least_once"
) -> None:
    """Declare `records_in` and `records_out`, both `key` STRING and `value` BYTES."""
    servers = arguments.bootstrap_servers
    for name, topic in (
        ("records_in", arguments.topic_in),
        ("records_out", arguments.topic_out),
    ):
        sink = _DELIVERY[delivery].format(topic=topic)
        tables.execute_sql(_TABLE.format(name=name, topic=topic, servers=servers, delivery=sink))


def chat_request(text: str) -> dict[str, Any]:
    """Return the body of one chat completion, structured output included."""
    return {
        "model": "stub",
        "messages": [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": text},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "route", "schema": ANSWER_SCHEMA},
        },
        "temperature": 0,
    }
