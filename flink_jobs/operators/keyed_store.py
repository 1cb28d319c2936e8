"""The keyed state of the operator, as plain maps of the current shard: Flink's MapState, or dictionaries in tests.

`conversations` (conversation → blob, expires), `pending` (message in flight or waiting → envelope), `deadlines` (conversation → ms),
`results` (what began a workflow and what its steps answered → envelope, expires). Only `pending` and `deadlines` are iterated in
normal running; the contract path touches the first alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

V = TypeVar("V")


class Map(Protocol[V]):
    """A MapState with text keys. Reading what is not there returns None."""

    def get(self, key: str) -> V | None:
        """Return the value under `key`; a miss asks the JVM and waits."""

    def put(self, key: str, value: V) -> None:
        """Keep `value` under `key`."""

    def remove(self, key: str) -> None:
        """Forget `key`."""

    def keys(self) -> Iterable[str]:
        """Return every key."""
        ...

    def items(self) -> Iterable[tuple[str, V]]:
        """Return every key with its value."""
        ...


@dataclass(frozen=True, slots=True)
class KeyedStore:
    """The four maps. Flink shows those of the shard whose element or timer is being processed."""

    conversations: Map[bytes]
    pending: Map[bytes]
    deadlines: Map[int]
    results: Map[bytes]


def pending_key(conversation: str, sequence: int) -> str:
    """Return the key of a conversation's message in `pending` or `results`."""
    return f"{sequence}:{conversation}"


def split_pending_key(key: str) -> tuple[str, int]:
    """Return conversation and sequence of a key in `pending`."""
    sequence, _, conversation = key.partition(":")
    return conversation, int(sequence)
