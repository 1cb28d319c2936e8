"""Ids of derived messages and digests: the same input gives the same id, whatever a model or a definition said.

A decision that is taken again after a failure and falls differently therefore answers under one id, and admission drops the second.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

import orjson

ROUTE_SLOT: Final = "route"
EVENT_ID_PREFIX: Final = "event-"
NOTICE_SLOT: Final = "notice"
"""Of the one record that says which participants of a run could not be told how it ended."""
CANCEL_SLOT: Final = "cancel"
"""Of the record that says that a message cancelled a workflow's run."""
PLAN_SLOT: Final = "plan"
"""Of the records that say what became of a plan: `plan:<step>`, and `plan:<step>:refused`."""
SUBSCRIPTION_SLOT: Final = "subscription"
"""Of the one record that says who did not get a message by subscription, and why."""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def draw(*parts: str) -> float:
    """Return a number in (0, 1] that `parts` together always give."""
    return (int(_digest(*parts)[:13], 16) + 1) / 2**52


def dispatch_id(cause_id: str, slot: str) -> str:
    """Return the id of the task that message `cause_id` gives rise to in `slot` (`route`, `target:<n>`, `step:<id>`, …)."""
    return f"task-{_digest(cause_id, slot)}"


def subscription_slot(agent: str) -> str:
    """Return the slot of the task that `agent` gets because it subscribes to a message."""
    return f"{SUBSCRIPTION_SLOT}:{agent}"


def notice_slot(agent: str) -> str:
    """Return the slot of the task that tells `agent` how a run ended in which it took part."""
    return f"{NOTICE_SLOT}:{agent}"


def approval_token(start_id: str, slot: str) -> str:
    """Return what names the approval of a step in the run that message `start_id` began."""
    return f"approval-{_digest(start_id, slot)}"


def event_id(*about: str) -> str:
    """Return the id, and the conversation, of the orchestrator's event about what `about` names together."""
    return f"{EVENT_ID_PREFIX}{_digest(*about)}"


def reply_id(task_id: str, number: int) -> str:
    """Return the id of the `number`-th message (from 0) that the handler of task `task_id` answers with."""
    return f"reply-{_digest(task_id, str(number))}"


def replay_id(original_id: str, number: int) -> str:
    """Return the id of the `number`-th replay of a dead letter."""
    return f"replay-{_digest(original_id, str(number))}"


@lru_cache(maxsize=16)  # admission asks for it, and then remembers it
def seen_hash(message_id: str) -> bytes:
    """Return the 8 bytes that stand for an id in a conversation's memory of what it saw."""
    return hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys and no spaces: equal data, equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def data_digest(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
