"""Schemas that several agents of a fleet share: declared once in fleet.yaml, inlined into each definition when it is loaded.

`$ref: fleet.yaml#/schemas/lead` is replaced by that schema; keywords beside the `$ref` are kept and win. What travels on
`agent_registry` is therefore self-contained, and its digest changes when a shared schema does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "fleet.yaml#/schemas/"
MAX_NESTED: Final = 16
MAX_PARTS: Final = 50_000
"""Values in a definition with its shared schemas written out: sixteen schemas that each use the next one ten times are a bomb."""


class SharedSchemaError(ValueError):
    """A `$ref` names a schema that fleet.yaml does not declare, or what it names cannot be written out."""

    def __init__(self, message: str, path: tuple[str | int, ...], hint: str) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint


def inline(value: Any, shared: Mapping[str, Any]) -> Any:
    """Return `value` with every reference to a shared schema replaced.

    Raises:
        SharedSchemaError: with the path to the reference inside `value`.
    """
    return _Inliner(shared).inlined(value, (), 0)


class _Inliner:
    def __init__(self, shared: Mapping[str, Any]) -> None:
        self._shared = shared
        self._parts = 0

    def inlined(self, value: Any, path: tuple[str | int, ...], depth: int) -> Any:
        if isinstance(value, list):
            self._count(len(value), path)
            return [self.inlined(item, (*path, at), depth) for at, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        self._count(len(value), path)
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(PREFIX):
            target = self._target(reference, path, depth)
            beside = {key: inner for key, inner in value.items() if key != "$ref"}
            return {
                **self.inlined(target, path, depth + 1),
                **self.inlined(beside, path, depth),
            }
        return {key: self.inlined(inner, (*path, key), depth) for key, inner in value.items()}

    def _count(self, parts: int, path: tuple[str | int, ...]) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            msg = f"with its shared schemas written out the definition has more than {MAX_PARTS} parts"
            raise SharedSchemaError(msg, path, "let schemas use each other fewer times")

    def _target(self, reference: str, path: tuple[str | int, ...], depth: int) -> Any:
        name = reference.removeprefix(PREFIX)
        if name not in self._shared:
            known = ", ".join(sorted(self._shared)[:20]) or "none"
            msg = f"$ref {reference!r}: fleet.yaml declares the schemas {known}"
            raise SharedSchemaError(msg, (*path, "$ref"), "name one of these")
        if depth >= MAX_NESTED:
            msg = f"$ref {reference!r}: shared schemas refer to each other in a circle, or deeper than {MAX_NESTED}"
            raise SharedSchemaError(msg, (*path, "$ref"), "end the circle")
        return self._shared[name]
