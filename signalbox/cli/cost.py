"""`signalbox cost`: calls and tokens, by agent, model or conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from connectors.broker import Broker
from connectors.topic_reader import read_topic
from signalbox.cli import session
from signalbox.cli.cost_ledger import By, CostLedger, Spent
from signalbox.cli.facts import fact_of
from signalbox.cli.screen import Line, show_lines
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.settings import Settings
from signalbox.topics import (
    AGENT_DECISIONS,
    AGENT_MESSAGES,
    AGENT_OUTCOMES,
    AGENT_REVIEW,
    full_name,
)

app = typer.Typer()


@app.command()
def cost(
    by: Annotated[By, typer.Option(help="One line for each.")] = "agent",
    conversation: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The dearest so many lines.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show what deciding and the agents' own work cost, from the records that the topics still keep.

    Exit code 1 when no record knows the conversation.
    """
    ledger = CostLedger(by, conversation)
    _fill(ledger, session.load_settings())
    if conversation is not None and not ledger.rows:
        session.note(
            f"no decision of a conversation {conversation!r}; `signalbox demo` and `send` print their ids"
        )
        raise typer.Exit(1)
    lines = ledger.lines()
    if as_json:
        session.print_json(_as_json(ledger, lines[:limit]))
        return
    show_lines(_lines(by, [*lines[:limit], ledger.total]))
    if len(lines) > limit:
        session.note(f"{len(lines) - limit} cheaper lines are not shown; --limit shows more")


def _fill(ledger: CostLedger, settings: Settings) -> None:
    broker = session.reach_broker(settings)
    for name in (AGENT_REVIEW, AGENT_DECISIONS, AGENT_MESSAGES, AGENT_OUTCOMES):
        for body in _bodies(broker, settings.kafka.topic_prefix, name):
            match body:
                case Review():
                    ledger.take_review(body)
                case Decision():
                    ledger.take_decision(body)
                case Envelope():
                    ledger.take_message(body)
                case Outcome():
                    ledger.take_outcome(body)


def _bodies(broker: Broker, prefix: str, name: str) -> Iterator[Any]:
    for record in read_topic(broker, full_name(prefix, name)):
        fact = fact_of(record, prefix)
        if fact is not None:
            yield fact.body


def _as_json(ledger: CostLedger, lines: list[Spent]) -> dict[str, Any]:
    return {
        "by": ledger.by,
        "conversation": ledger.conversation,
        "rows": [line.as_json() for line in lines],
        "total": ledger.total.as_json(),
        "outcome_tokens": ledger.outcome_tokens,
    }


_COLUMNS: Final = (
    ("decisions", "decisions"),
    ("calls", "calls"),
    ("cached", "cached"),
    ("tokens_in", "tokens in"),
    ("tokens_out", "out"),
    ("answers", "answers"),
    ("agent_tokens", "their tokens"),
    ("tokens", "all tokens"),
)


def _lines(by: By, spent: list[Spent]) -> Iterator[Line]:
    width = max(len(by), *(len(one.name) for one in spent))
    heads = "  ".join(title.rjust(len(title)) for _, title in _COLUMNS)
    yield Line(f"{by:<{width}}  {heads}", "bold")
    for one in spent:
        cells = (str(getattr(one, name)).rjust(len(title)) for name, title in _COLUMNS)
        yield Line(
            f"{one.name:<{width}}  {'  '.join(cells)}", "bold" if one.name == "total" else ""
        )
