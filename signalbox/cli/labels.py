"""What people decided, as labelled rows for `signalbox eval` and as examples for a definition. Pure.

A person's choice is a decision with path `human`. Nothing becomes an example by itself: it is asked for and read first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from signalbox.cli.facts import Fact
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import TASK_ESCALATED, Envelope
from signalbox.contracts.ids import ROUTE_SLOT
from signalbox.contracts.record import rfc3339
from signalbox.contracts.review import data_given
from signalbox.routing.prompt import query_text
from signalbox.topics import AGENT_MESSAGES

MAX_EXAMPLE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person decided for a message: an agent or NONE. `edited` is the answer that brought other data."""

    message: Envelope
    decision: Decision
    edited: Envelope | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The data that was decided on: what the person made of it, else the message's; of an escalation, that of its task."""
        return data_given(self.edited or self.message)


def choices_of(facts: Iterable[Fact]) -> tuple[tuple[Choice, ...], int]:
    """Return people's choices, oldest first, and of how many the message, or what they made of it, is no longer on its topic.

    Who agreed to a workflow's step, or cancelled one, chose no agent: that is no label.
    """
    known = list(facts)
    messages = {
        fact.body.id: fact.body
        for fact in known
        if fact.topic == AGENT_MESSAGES and isinstance(fact.body, Envelope)
    }
    decided = {
        fact.body.message_id: fact.body
        for fact in sorted(known, key=lambda fact: (fact.at_ms, fact.offset))
        if isinstance(fact.body, Decision)
        and (fact.body.path, fact.body.slot) == ("human", ROUTE_SLOT)
    }
    found = [
        Choice(messages[message_id], decision, messages.get(decision.data_from or ""))
        for message_id, decision in decided.items()
        if message_id in messages and (decision.data_from is None or decision.data_from in messages)
    ]
    return tuple(found), len(decided) - len(found)


def row_of(choice: Choice) -> dict[str, Any]:
    """Write a choice as a row that `signalbox eval` reads; `sender` is the agent that truly had the task.

    What an agent escalated is a row from outside: its answer was a question, and the person was not bound by its handoffs.
    """
    row: dict[str, Any] = {
        "id": choice.message.id,
        "expected": choice.decision.agent,
        "data": choice.data,
        "decided_by": choice.decision.reason,
        "decided_at": rfc3339(choice.decision.decided_at),
    }
    if choice.message.type == TASK_ESCALATED:
        return row
    row["type"] = choice.message.type
    if choice.message.claimed_agent is not None:
        row["sender"] = choice.message.claimed_agent
    return row


def examples_of(choices: Iterable[Choice], agent: str | None) -> Iterator[tuple[str, str]]:
    """Yield (agent, example): what was said in the message, on one line, cut; each once. NONE has no definition to teach."""
    seen: set[tuple[str, str]] = set()
    for choice in choices:
        name = choice.decision.agent
        text = " ".join(query_text(choice.data).split())[:MAX_EXAMPLE_CHARS]
        if name == NONE or agent not in {None, name} or not text or (name, text) in seen:
            continue
        seen.add((name, text))
        yield name, text
