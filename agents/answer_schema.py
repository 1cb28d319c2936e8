"""What of an output schema a model is asked for, and how the rest is filled in from what is known.

A property with `x-from: <JSON pointer>` is copied, never asked: the model cannot choose a mail's recipient or rewrite
the lead it was given. A property with `const` is filled too. Pointers (RFC 6901) look into
`{"data": the task's data, "task": {"id", "cause", "conversation"}, "model": the model's name}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

COPIED: Final = "x-from"
DEFAULT_MAX_CHARS: Final = 2000

_MISSING: Final = object()


def asked_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return `schema` without the properties that are filled in, every string bounded, objects closed.

    Bounds matter: a string without `maxLength` can run to the token limit and leave cut JSON.
    """
    asked = dict(schema)
    if isinstance(asked.get("properties"), Mapping):
        kept = {
            name: asked_schema(inner)
            for name, inner in asked["properties"].items()
            if isinstance(inner, Mapping) and not _is_filled(inner)
        }
        # An object all of whose properties are filled in is filled in whole.
        kept = {name: inner for name, inner in kept.items() if inner.get("properties") != {}}
        asked["properties"] = kept
        asked["required"] = [name for name in asked.get("required", ()) if name in kept]
        asked["additionalProperties"] = False
    if isinstance(asked.get("items"), Mapping):
        asked["items"] = asked_schema(asked["items"])
    if asked.get("type") == "string" and "enum" not in asked:
        asked.setdefault("maxLength", DEFAULT_MAX_CHARS)
    return asked


def fill(schema: Mapping[str, Any], answer: Any, known: Mapping[str, Any]) -> Any:
    """Return `answer` with everything that `schema` does not ask for filled in from `known`.

    What the model said about a filled property is overwritten; a pointer that leads nowhere leaves the property out.
    """
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        given = answer if isinstance(answer, Mapping) else {}
        filled = dict(given)
        for name, inner in properties.items():
            if not isinstance(inner, Mapping):
                continue
            value = _value(inner, given.get(name, _MISSING), known)
            if value is _MISSING:
                filled.pop(name, None)
            else:
                filled[name] = value
        return filled
    if isinstance(schema.get("items"), Mapping) and isinstance(answer, list):
        return [fill(schema["items"], item, known) for item in answer]
    return answer


def _value(inner: Mapping[str, Any], given: Any, known: Mapping[str, Any]) -> Any:
    if COPIED in inner:
        return _at(known, inner[COPIED])
    if "const" in inner:
        return inner["const"]
    if given is _MISSING and not isinstance(inner.get("properties"), Mapping):
        return _MISSING
    filled = fill(inner, {} if given is _MISSING else given, known)
    return _MISSING if given is _MISSING and not filled else filled


def _is_filled(schema: Mapping[str, Any]) -> bool:
    return COPIED in schema or "const" in schema


def _at(document: Any, pointer: str) -> Any:
    node = document
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return _MISSING
    return _MISSING if node is None else node
