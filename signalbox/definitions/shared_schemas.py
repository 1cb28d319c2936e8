"""Schemas that several agents of a fleet share: declared once in fleet.yaml, inlined into each definition when it is loaded.

`$ref: fleet.yaml#/schemas/lead` is replaced by that schema; keywords beside the `$ref` are kept and win. What travels on
`agent_registry` is therefore self-contained, and its digest changes when a shared schema does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "fleet.yaml#/schemas/"
MAX_NESTED: Final = 16


class UnknownSchemaError(ValueError):
    """A `$ref` names a schema that fleet.yaml does not declare, or schemas refer to each other in a circle."""

    def __init__(self, message: str, path: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.path = path


def inline(value: Any, shared: Mapping[str, Any]) -> Any:
    """Return `value` with every reference to a shared schema replaced.

    Raises:
        UnknownSchemaError: with the path to the reference inside `value`.
    """
    return _inline(value, shared, (), 0)


def _inline(value: Any, shared: Mapping[str, Any], path: tuple[str | int, ...], depth: int) -> Any:
    if isinstance(value, list):
        return [_inline(item, shared, (*path, number), depth) for number, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith(PREFIX):
        target = _target(reference, shared, path, depth)
        beside = {key: inner for key, inner in value.items() if key != "$ref"}
        return {
            **_inline(target, shared, path, depth + 1),
            **_inline(beside, shared, path, depth),
        }
    return {key: _inline(inner, shared, (*path, key), depth) for key, inner in value.items()}


def _target(
    reference: str, shared: Mapping[str, Any], path: tuple[str | int, ...], depth: int
) -> Any:
    name = reference.removeprefix(PREFIX)
    if name not in shared:
        known = ", ".join(sorted(shared)) or "none"
        msg = f"$ref {reference!r}: fleet.yaml declares the schemas {known}"
        raise UnknownSchemaError(msg, (*path, "$ref"))
    if depth >= MAX_NESTED:
        msg = f"$ref {reference!r}: shared schemas refer to each other in a circle"
        raise UnknownSchemaError(msg, (*path, "$ref"))
    return shared[name]
