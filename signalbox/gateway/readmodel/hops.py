"""How long a hop takes: from a message's record to that of each task it led to, by the times that the broker gave them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import orjson

from connectors.broker import ConsumedRecord
from signalbox.measured import HOP_SECONDS, Buckets
from signalbox.topics import AGENT_MESSAGES, AGENT_TASKS_PREFIX

REMEMBERED: Final = 50_000
"""Messages whose tasks may still come. One that was decided later than so many others is not measured."""


class Hops:
    """Matches messages and tasks, in whatever order the two topics are read."""

    def __init__(self, prefix: str, remembered: int = REMEMBERED) -> None:
        self.seconds = Buckets(HOP_SECONDS)
        self._prefix = prefix
        self._remembered = remembered
        self._began_ms: OrderedDict[str, int] = OrderedDict()
        self._early: OrderedDict[str, list[int]] = OrderedDict()

    def take(self, records: Iterable[ConsumedRecord]) -> None:
        """Look at records as they were read; those of other topics say nothing."""
        for record in records:
            topic = record.topic.removeprefix(self._prefix)
            if topic == AGENT_MESSAGES:
                if (message := _text(record, "id")) is not None:
                    self._message(message, record.timestamp_ms)
            elif topic.startswith(AGENT_TASKS_PREFIX) and (cause := _text(record, "causationid")):
                self._task(cause, record.timestamp_ms)

    def _message(self, message: str, at_ms: int) -> None:
        # The same message again is dropped by the job: its tasks are the first one's.
        began_ms = self._began_ms.setdefault(message, at_ms)
        _trim(self._began_ms, self._remembered)
        for task_ms in self._early.pop(message, ()):
            self._observe(began_ms, task_ms)

    def _task(self, cause: str, at_ms: int) -> None:
        began_ms = self._began_ms.get(cause)
        if began_ms is not None:
            self._observe(began_ms, at_ms)
            return
        self._early.setdefault(cause, []).append(at_ms)
        _trim(self._early, self._remembered)

    def _observe(self, began_ms: int, task_ms: int) -> None:
        self.seconds.observe(max(0, task_ms - began_ms) / 1000)


def _trim(kept: OrderedDict[str, int] | OrderedDict[str, list[int]], at_most: int) -> None:
    while len(kept) > at_most:
        kept.popitem(last=False)


def _text(record: ConsumedRecord, field: str) -> str | None:
    try:
        value = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        return None
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None
