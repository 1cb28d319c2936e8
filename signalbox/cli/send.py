"""`signalbox send`: put messages on `agent_messages`, or raw leads on `incoming_leads`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from signalbox.cli import session
from signalbox.cli.send_lines import LEAD_SUBMITTED, Defaults, Line, parse
from signalbox.errors import SignalboxError, UsageError
from signalbox.settings import Settings
from signalbox.topics import AGENT_MESSAGES, INCOMING_LEADS, full_name

app = typer.Typer()
_ACK_SECONDS: Final = 30.0


class Topic(StrEnum):
    """Where `send` writes."""

    AGENT_MESSAGES = AGENT_MESSAGES
    INCOMING_LEADS = INCOMING_LEADS


@app.command()
def send(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="One JSON object a line; - is stdin.")
    ],
    message_type: Annotated[
        str, typer.Option("--type", help="The type of bare payloads.")
    ] = LEAD_SUBMITTED,
    conversation: Annotated[
        str | None,
        typer.Option(help="The conversation of bare payloads; without it each gets its own."),
    ] = None,
    topic: Annotated[
        Topic, typer.Option(help="incoming_leads takes raw leads; SQL wraps them.")
    ] = Topic.AGENT_MESSAGES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Send messages and print their ids, once the broker has acknowledged them.

    A line with `specversion` is an envelope and is sent as it is. Any other object is a payload: it gets an envelope
    with a new id. With the default type, a lead without a `lead` field around it is wrapped into one. All lines are
    checked first: if one cannot be sent, nothing is, and the exit code is 2.
    """
    settings = session.load_settings()
    defaults = Defaults(message_type, conversation, session.new_id, session.now())
    lines = parse(_read(file), topic.value, defaults)
    if not lines:
        msg = f"{file} has no lines; write one JSON object a line"
        raise UsageError(msg)
    deliver(settings, topic.value, lines)
    if as_json:
        ids = [{"id": line.id, "conversation": line.key} for line in lines]
        session.print_json({"topic": topic.value, "sent": ids})
        return
    for line in lines:
        typer.echo(line.id)
    hint = lines[-1].key
    session.note(f"sent {len(lines)} to {topic.value}; see one with: signalbox trace {hint}")


def deliver(settings: Settings, topic: str, lines: Sequence[Line]) -> None:
    """Write `lines` in order.

    Delivery: at least once; returns after every acknowledgement. What is on the topic twice has one id, and is admitted once.

    Raises:
        SignalboxError: the broker did not acknowledge one; says how many were.
    """
    name = full_name(settings.kafka.topic_prefix, topic)
    producer = session.reach_broker(settings).producer()
    acknowledged = 0
    try:
        deliveries = [
            producer.send(name, key=line.key.encode(), value=line.value, headers=line.headers)
            for line in lines
        ]
        for delivery in deliveries:
            delivery.result(_ACK_SECONDS)
            acknowledged += 1
    except SignalboxError as error:
        msg = (
            f"{acknowledged} of {len(lines)} acknowledged by {settings.kafka.servers}: {error}; "
            "is it running? `signalbox status` says, `signalbox up` starts it"
        )
        raise SignalboxError(msg) from error
    finally:
        producer.close()


def _read(file: str) -> list[bytes]:
    if file == "-":
        return sys.stdin.buffer.read().splitlines()
    try:
        return Path(file).read_bytes().splitlines()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}; give a file with one JSON object a line, or -"
        raise UsageError(msg) from None
