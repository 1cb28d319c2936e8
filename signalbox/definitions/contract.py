"""A contract: a compiled JSON Schema 2020-12 that says whether data fits and, in few words, why not."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from weakref import WeakValueDictionary

import jsonschema_rs

from signalbox.contracts.ids import data_digest
from signalbox.definitions.schema_check import (
    PATTERN_OPTIONS,
    SchemaProblem,
    check_before_compiling,
    unrolled,
)

MAX_VIOLATIONS: Final = 8
MAX_VIOLATION_CHARS: Final = 120
MAX_EXPLAINED: Final = 256
"""How many values data may hold for all its violations to be looked for."""
MAX_CHECKED: Final = 100_000
"""How many schemas are remembered as good, so that a definition that is read again is not compiled again."""


def _refuse_remote(uri: str) -> Any:
    # A schema is data from a file or a topic; following its $ref over the network would be an SSRF.
    msg = f"$ref to {uri!r}: a contract is self-contained; inline it under $defs"
    raise ValueError(msg)


class Contract:
    """One compiled schema; compile once per definition, `accepts` per message."""

    __slots__ = ("__weakref__", "_explainer", "_validator", "schema")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile `schema`.

        Raises:
            SchemaProblem: a ValueError; it is not a JSON Schema 2020-12, or does what `schema_check` forbids.
        """
        self.schema = schema
        is_recursive = check_before_compiling(schema)
        self._validator = _compiled(schema)
        # Listing what is wrong with nested data is exponential where a schema recurs in two branches; accepting is not.
        self._explainer = _compiled(unrolled(schema, schema)) if is_recursive else self._validator

    def __reduce__(self) -> Any:
        return contract_of, (self.schema,)

    def accepts(self, data: Mapping[str, Any]) -> bool:
        """Say whether `data` fits; what is nested deeper than the validator goes does not."""
        try:
            return self._validator.is_valid(data)
        except ValueError:
            return False

    def violations(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return at most eight short violations, `report: required`; empty when `data` fits.

        Of wide data only the first: the validator finds all before it gives any, a hundred thousand in a message of 256 KiB.
        """
        is_recursive = self._explainer is not self._validator
        if is_recursive and self.accepts(data):
            return ()
        try:
            if _is_wide(data):
                self._explainer.validate(data)
                errors = []
            else:
                errors = list(islice(self._explainer.iter_errors(data), MAX_VIOLATIONS))
        except jsonschema_rs.ValidationError as error:
            errors = [error]
        except ValueError:
            return ("data: nested too deeply",)
        if is_recursive and not errors:
            return ("data: refused where the schema recurs",)
        return tuple(_cut(_short(error), MAX_VIOLATION_CHARS) for error in errors)


_TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")


def _compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(schema), retriever=_refuse_remote, pattern_options=PATTERN_OPTIONS
        )
    except jsonschema_rs.ValidationError as error:
        first_line = str(error).splitlines()[0]
        if error.instance_path and error.instance_path[-1] == "type":
            first_line = f"type is one of {', '.join(_TYPES)}, or a list of them"
        msg = f"not a JSON Schema 2020-12: {_cut(first_line, 200)}"
        raise SchemaProblem(msg, tuple(error.instance_path)) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        msg = f"not a JSON Schema 2020-12: {_cut(str(error).splitlines()[0], 200)}"
        raise SchemaProblem(msg, ()) from None


def _is_wide(data: Any) -> bool:
    left = MAX_EXPLAINED
    waiting = [data]
    while waiting:
        node = waiting.pop()
        inner = node.values() if isinstance(node, dict) else node
        left -= len(inner)
        if left < 0:
            return True
        waiting += [one for one in inner if isinstance(one, dict | list)]
    return False


def schema_digest(schema: Mapping[str, Any]) -> str:
    """Return what names a schema: equal schemas, equal digest.

    Raises:
        SchemaProblem: it is nested deeper than JSON can be written.
    """
    try:
        return data_digest(schema)
    except TypeError as error:
        msg = f"not JSON: {error}"
        raise SchemaProblem(msg, ()) from None


def contract_of(schema: Mapping[str, Any]) -> Contract:
    """Return the compiled `schema`; while anybody in the process holds the contract of an equal one, that very contract.

    Raises:
        SchemaProblem: see `Contract`.
    """
    digest = schema_digest(schema)
    with _LOCK:
        found = _SHARED.get(digest)
        if found is None:
            found = _SHARED[digest] = Contract(schema)
            _remember(digest)
    return found


def check_schema(schema: Mapping[str, Any]) -> None:
    """Make sure that `schema` compiles, without keeping what was compiled: a thousand agents need not all be in memory.

    Raises:
        SchemaProblem: see `Contract`.
    """
    digest = schema_digest(schema)
    with _LOCK:
        if digest in _CHECKED:
            _CHECKED.move_to_end(digest)
            return
    Contract(schema)
    with _LOCK:
        _remember(digest)


# Shared by the subtasks of a TaskManager, which are threads of one process, and by the versions each of them keeps.
_LOCK: Final = threading.Lock()
_SHARED: Final[WeakValueDictionary[str, Contract]] = WeakValueDictionary()
_CHECKED: Final[OrderedDict[str, None]] = OrderedDict()


def _remember(digest: str) -> None:
    _CHECKED[digest] = None
    if len(_CHECKED) > MAX_CHECKED:
        _CHECKED.popitem(last=False)


def _short(error: jsonschema_rs.ValidationError) -> str:
    path = ".".join(_cut(str(part)) for part in error.instance_path)
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
    return f"{path}.{_cut(field)}" if path else _cut(field)


def _cut(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
