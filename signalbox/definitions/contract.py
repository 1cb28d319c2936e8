"""A contract: a compiled JSON Schema 2020-12 that says whether data fits and, in few words, why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

MAX_VIOLATIONS: Final = 8


def _refuse_remote(uri: str) -> Any:
    # A schema is data from a file or a topic; following its $ref over the network would be an SSRF.
    msg = f"$ref to {uri!r}: a contract is self-contained; inline it under $defs"
    raise ValueError(msg)


class Contract:
    """One compiled schema; compile once per definition, `accepts` per message."""

    __slots__ = ("_validator", "schema")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile `schema`.

        Raises:
            ValueError: it is not a JSON Schema 2020-12, or refers outside itself.
        """
        self.schema = schema
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                dict(schema), retriever=_refuse_remote
            )
        except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            first_line = str(error).splitlines()[0]
            msg = f"not a JSON Schema 2020-12: {first_line}"
            raise ValueError(msg) from None

    def accepts(self, data: Mapping[str, Any]) -> bool:
        """Say whether `data` fits."""
        return self._validator.is_valid(data)

    def violations(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return at most eight short violations, `report: required`; empty when `data` fits."""
        found: list[str] = []
        for error in self._validator.iter_errors(data):
            found.append(_short(error))
            if len(found) == MAX_VIOLATIONS:
                break
        return tuple(found)


def _short(error: jsonschema_rs.ValidationError) -> str:
    path = ".".join(str(part) for part in error.instance_path)
    # Each kind has attributes of its own (`property`, `unexpected`, …) that the type stubs do not list.
    kind: Any = error.kind
    name = kind.name
    if name == "required":
        return f"{_join(path, kind.property)}: required"
    if name in {"additionalProperties", "unevaluatedProperties"}:
        return (
            ", ".join(_join(path, field) for field in list(kind.unexpected)[:3]) + ": not expected"
        )
    if name == "type":
        return f"{path or 'data'}: wrong type"
    if name == "const":
        return f"{path or 'data'}: must be {_cut(repr(kind.expected_value))}"
    if name == "enum":
        return f"{path or 'data'}: must be one of {_cut(repr(kind.options))}"
    return f"{path or 'data'}: {name} violated"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else str(field)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
