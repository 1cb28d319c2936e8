"""One thing that is wrong with a workflow, before it has a line and a column."""

from __future__ import annotations

from dataclasses import dataclass

Loc = tuple[str | int, ...]
"""A way into a definition: `("steps", 2, "input", "amount")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at `loc` of a definition, and what is right."""

    loc: Loc
    what: str
    hint: str
