"""Patterns of event types, and what an index files them under: a whole type, or the literal beginning of many."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Generic, TypeVar

MAX_PATTERN_CHARS: Final = 128
_Item = TypeVar("_Item")
_ALLOWED: Final = re.compile(r"^[A-Za-z0-9_.*?\[\]!-]+$")
_WILD: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class TypePattern:
    """`market.tick` (exactly), `market.*` (whatever begins so), or any fnmatch pattern such as `*.failed` or `order.[ab]?`."""

    text: str

    @classmethod
    def of(cls, text: str) -> TypePattern:
        """Read a pattern. Types are lower case, so a pattern is too, whatever its filter's `case_sensitive` says.

        Raises:
            ValueError: it is none.
        """
        if not 0 < len(text) <= MAX_PATTERN_CHARS or not _ALLOWED.match(text):
            msg = f"{text[:60]!r} is no pattern of event types; write `market.tick`, `market.*` or `*.failed`"
            raise ValueError(msg)
        return cls(text.lower())

    @property
    def literal(self) -> str:
        """Its beginning up to the first wildcard; the whole where there is none."""
        return _WILD.split(self.text, maxsplit=1)[0]

    @property
    def is_exact(self) -> bool:
        """Whether it names one type."""
        return self.literal == self.text

    def accepts(self, kind: str) -> bool:
        """Say whether the type `kind` fits."""
        if self.is_exact:
            return kind == self.text
        if self.text == self.literal + "*":
            return kind.startswith(self.literal)
        return fnmatchcase(kind, self.text)


ANY_TYPE: Final = TypePattern("*")


class TypeIndex(Generic[_Item]):
    """Finds the items whose patterns fit a type, without asking the others.

    An item is filed under each of its patterns, or under everything where its patterns are None.
    """

    def __init__(self, items: Iterable[tuple[_Item, frozenset[TypePattern] | None]]) -> None:
        self._exact: dict[str, list[_Item]] = {}
        self._by_beginning: dict[str, list[tuple[TypePattern, _Item]]] = {}
        for item, patterns in items:
            for pattern in {ANY_TYPE} if patterns is None else patterns:
                if pattern.is_exact:
                    self._exact.setdefault(pattern.text, []).append(item)
                else:
                    self._by_beginning.setdefault(pattern.literal, []).append((pattern, item))
        self._lengths = sorted({len(literal) for literal in self._by_beginning})

    def find(self, kind: str) -> list[_Item]:
        """Return each item that a message of type `kind` may concern, once."""
        found = dict.fromkeys(self._exact.get(kind, ()))
        for length in self._lengths:
            if length > len(kind):
                break
            for pattern, item in self._by_beginning.get(kind[:length], ()):
                if pattern.accepts(kind):
                    found[item] = None
        return list(found)
