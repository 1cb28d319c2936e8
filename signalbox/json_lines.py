"""Files of one JSON object a line: reading a line, and telling all that is wrong with a file at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

MAX_REPORTED_LINES: Final = 20


def object_of(raw: bytes, described: Callable[[Any], str]) -> dict[str, Any]:
    """Return the object on a line; `described` says in an error what stood there instead.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        msg = f"not JSON: {error}; write one JSON object a line"
        raise ValueError(msg) from None
    if not isinstance(value, dict):
        msg = f"a JSON object is needed, got {described(value)}"
        raise ValueError(msg)  # noqa: TRY004 (a line's problem, not a caller's)
    return value


def problems_told(problems: Sequence[str], consequence: str) -> list[str]:
    """Return the lines of a report: how many cannot be used and what follows (`sent, so nothing was sent`), then the first."""
    shown = list(problems[:MAX_REPORTED_LINES])
    if len(problems) > len(shown):
        shown.append(f"… and {len(problems) - len(shown)} more lines")
    count = "1 line" if len(problems) == 1 else f"{len(problems)} lines"
    return [f"{count} cannot be {consequence}", *shown]
