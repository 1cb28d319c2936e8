"""Regular expressions whose matching takes time in proportion to the text: Rust's `regex` by way of the JSON Schema validator.

It is the engine that contracts use, so nothing new runs inside the TaskManager. Look-around and back-references do not exist there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import jsonschema_rs

from signalbox.definitions.filters.view import CHARS_PER_STEP, MessageView

MAX_PATTERN_CHARS: Final = 500
MAX_COMPILED_BYTES: Final = 64 * 1024
_OPTIONS: Final = jsonschema_rs.RegexOptions(size_limit=MAX_COMPILED_BYTES)
_BACKTRACKING: Final = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")
_STEPS_PER_SEARCH: Final = 16
"""How many times dearer a character is than where text is looked for."""


class LinearPattern:
    """A compiled pattern; it is looked for anywhere in a text."""

    __slots__ = ("_validator", "text")

    def __init__(self, text: str, *, case_sensitive: bool) -> None:
        """Compile `text`.

        Raises:
            ValueError: it is no regular expression, or one that could take for ever.
        """
        self.text = text
        problem = _problem(text)
        if problem is not None:
            raise ValueError(problem)
        self._validator = _compiled(text if case_sensitive else f"(?i:{text})")

    def search(self, text: str, view: MessageView) -> bool:
        """Say whether it is found in `text`.

        Raises:
            FilterFailureError: the message's budget is used up.
        """
        view.spend(1 + len(text) * _STEPS_PER_SEARCH // CHARS_PER_STEP)
        return self._validator.is_valid(text)


@lru_cache(maxsize=4_096)
def linear_pattern(text: str, *, case_sensitive: bool) -> LinearPattern:
    """Return the compiled pattern; equal ones share one.

    Raises:
        ValueError: see `LinearPattern`.
    """
    return LinearPattern(text, case_sensitive=case_sensitive)


def _problem(text: str) -> str | None:
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    if len(text) > MAX_PATTERN_CHARS:
        return f"a regular expression of {len(text)} characters; at most {MAX_PATTERN_CHARS}"
    try:
        _compiled(text)
    except ValueError:
        if _BACKTRACKING.search(text):
            return f"{shown!r}: look-around and back-references can take for ever; use `negate`, or a filter `all` of two"
        return f"{shown!r} is not a regular expression, or too large a one; bound lengths less, or use `content`"
    return None


def _compiled(text: str) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator({"pattern": text}, pattern_options=_OPTIONS)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(str(error).splitlines()[0]) from None
