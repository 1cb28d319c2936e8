"""What a mapping refers to: a way into the data of the start, or into what a step answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalbox.workflows.errors import TemplateProblem

DATA: Final = "data"
STEPS: Final = "steps"

Scope = Mapping[str, Any]
"""`{data: …, steps: {<id>: …}}`: what expressions see."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`fields` lead into what `step` answered, or into the data of the start where `step` is None.

    `is_guarded`: the mapping says what to do where it is missing (`default`, `is defined`). `is_whole`: the value is what it
    names, unchanged.
    """

    step: str | None
    fields: tuple[str | int, ...]
    is_guarded: bool = False
    is_whole: bool = False

    def __str__(self) -> str:
        start = DATA if self.step is None else f"{STEPS}.{self.step}"
        return start + "".join(
            f"[{one}]" if isinstance(one, int) else f".{one}" for one in self.fields
        )

    def values(self, scope: Scope) -> tuple[Any, ...]:
        """Return the one value that it names; nothing where it, or a part of the way, is not there."""
        if self.step is None:
            node: Any = scope[DATA]
        elif self.step in scope[STEPS]:
            node = scope[STEPS][self.step]
        else:
            return ()
        for part in self.fields:
            if not _has(node, part):
                return ()
            node = node[part]
        return (node,)

    def what_is_missing(self, scope: Scope) -> str | None:
        """Say what of it is not there, in a sentence's half; None where all of it is."""
        if self.step is not None and self.step not in scope[STEPS]:
            return f"{self} is missing: step {self.step!r} has no result"
        node: Any = scope[DATA] if self.step is None else scope[STEPS][self.step]
        for depth, part in enumerate(self.fields):
            if not _has(node, part):
                above = Reference(self.step, self.fields[:depth])
                return f"{self} is missing: {above} {_contents(node)}"
            node = node[part]
        return None


def reference_of(
    parts: tuple[str | int, ...], *, is_guarded: bool = False, is_whole: bool = False
) -> Reference:
    """Return the reference that begins with `data` or `steps`.

    Raises:
        TemplateProblem: it begins otherwise, or does not say which step.
    """
    root, *rest = parts
    if root == DATA:
        return Reference(None, tuple(rest), is_guarded, is_whole)
    if root != STEPS:
        msg = f"{root!r} is not known here"
        raise TemplateProblem(msg, "name `data` (what started it) or `steps.<id>` (a result)")
    if not rest or not isinstance(rest[0], str):
        msg = "`steps` without a step's id"
        raise TemplateProblem(msg, "write `steps.<id>.<field>`")
    return Reference(rest[0], tuple(rest[1:]), is_guarded, is_whole)


def _has(node: Any, part: str | int) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and -len(node) <= part < len(node)


def _contents(node: Any) -> str:
    if isinstance(node, Mapping):
        return f"has {', '.join(sorted(map(str, node))[:8]) or 'no fields'}"
    if isinstance(node, list):
        return f"has {len(node)} items"
    return "is " + ("null" if node is None else f"a {type(node).__name__}")
