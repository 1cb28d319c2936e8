"""What a contract says about one field, as far as it can be known: its schema, that it cannot be there, or nothing.

Careful in one direction: `ABSENT` only where the schema lists its fields and this is none of them; whatever is composed,
recursive or open is `ANYTHING`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import canonical

from signalbox.contracts.ids import canonical_json
from signalbox.definitions.pointers import local_target
from signalbox.definitions.schema_check import PATTERN_OPTIONS

_MAX_REFERENCES: Final = 16
_COMPOSED: Final = ("allOf", "anyOf", "oneOf", "if", "dependentSchemas", "not")
_DEFS: Final = ("$defs", "definitions")


class Known(Enum):
    """What is known of a field without a schema of its own."""

    ABSENT = "absent"
    ANYTHING = "anything"


Schema = Mapping[str, Any]
Field = Schema | Known


def field_of(schema: Schema, path: Sequence[str | int]) -> Field:
    """Return what `schema` says about the value at `path`: its schema, self-contained, or what is known without one."""
    node: Any = schema
    for part in path:
        node = _below(resolved(node, schema), part)
        if isinstance(node, Known):
            return node
    node = resolved(node, schema)
    if not isinstance(node, Mapping):
        return Known.ABSENT if node is False else Known.ANYTHING
    return {**{key: schema[key] for key in _DEFS if key in schema}, **node}


def resolved(node: Any, root: Schema) -> Any:
    """Return the schema that `node` refers to; what stands beside a reference makes it a composition."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
            return node
        if len(node) > 1:
            return {"allOf": [node]}
        node = local_target(node["$ref"], root)
    return True


def requires(schema: Schema, path: Sequence[str | int]) -> bool:
    """Say whether data of `schema` has a value at `path`; False also where it cannot be known."""
    node: Any = schema
    for part in path:
        node = resolved(node, schema)
        if not isinstance(node, Mapping) or part not in node.get("required", ()):
            return False
        node = node.get("properties", {}).get(part, True)
    return True


def never_fits(given: Field, taken: Field) -> bool:
    """Say whether no value is in both; True is proven."""
    if not isinstance(given, Mapping) or not isinstance(taken, Mapping):
        return False
    if _is_recursive(given) or _is_recursive(taken):
        return False
    try:
        common = _form(given).intersect(_form(taken))
        return common.satisfiability() == canonical.Satisfiability.NO
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return False  # what the library's form cannot say is not known


def refuses(taken: Field, value: Any) -> str | None:
    """Say why `taken` refuses `value`; None where it does not, or it is not known."""
    if not isinstance(taken, Mapping) or _is_recursive(taken):
        return None
    try:
        compiled = jsonschema_rs.Draft202012Validator(
            dict(taken), retriever=_refuse_remote, pattern_options=PATTERN_OPTIONS
        )
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return None  # cut out of its whole it does not stand alone
    try:
        compiled.validate(value)
    except jsonschema_rs.ValidationError as error:
        return error.message[:200]
    return None


def forbids(schema: Schema, path: Sequence[str | int], name: str) -> bool:
    """Say whether the object at `path` may not have a field `name`; True is proven."""
    node = field_of(schema, path)
    if not isinstance(node, Mapping) or "patternProperties" in node:
        return False
    return node.get("additionalProperties") is False and name not in node.get("properties", {})


def _below(node: Any, part: str | int) -> Any:
    if not isinstance(node, Mapping):
        return Known.ABSENT if node is False else Known.ANYTHING
    kind = node.get("type")
    allowed = {kind} if isinstance(kind, str) else set(kind or ())
    if allowed and ("array" if isinstance(part, int) else "object") not in allowed:
        return Known.ABSENT
    found = _item(node, part) if isinstance(part, int) else _property(node, part)
    if found is Known.ABSENT and any(word in node for word in _COMPOSED):
        return Known.ANYTHING
    return found


def _property(node: Schema, name: str) -> Any:
    properties = node.get("properties") or {}
    if name in properties:
        return properties[name]
    if "patternProperties" in node:
        return Known.ANYTHING
    if "additionalProperties" in node:
        return node["additionalProperties"]
    # An object that lists its fields is taken at its word: a name that is not among them is a slip.
    return Known.ABSENT if properties else Known.ANYTHING


def _item(node: Schema, number: int) -> Any:
    first = node.get("prefixItems") or []
    if number < 0:
        return Known.ANYTHING
    return first[number] if number < len(first) else node.get("items", True)


def _is_recursive(schema: Schema) -> bool:
    # Cut out of its whole, `#` would mean the part.
    return b'"$ref":"#"' in canonical_json(schema)


def _form(schema: Schema) -> jsonschema_rs.CanonicalSchema:
    return jsonschema_rs.canonicalize(
        dict(schema), draft=jsonschema_rs.Draft202012, pattern_options=PATTERN_OPTIONS
    )


def _refuse_remote(uri: str) -> Any:
    msg = f"$ref to {uri!r} leaves the schema"
    raise ValueError(msg)
