"""A hypothesis strategy for the JSON Schemas of the agents' contracts: the keywords they use, no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

_EMAILS = st.from_regex(
    r"\A[a-zA-Z0-9+-]{1,20}(\.[a-zA-Z0-9]{1,9}){0,2}@[a-z0-9-]{1,20}\.[a-z]{2,6}\Z"
)
_NOT_BLANK = r"[^\s\x00-\x1f]"
# Texts of any script, but not the halves of surrogate pairs, which no JSON carries.
_CHARACTERS = st.characters(codec="utf-8")


def from_schema(schema: Mapping[str, Any], *, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that fit `schema`. `if`, `then` and `else` are the caller's to satisfy."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        return st.one_of(*(from_schema({**schema, "type": one}) for one in kind))
    if kind == "object":
        return _objects(schema)
    if kind == "array":
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 3), least + 3)
        return st.lists(from_schema(schema.get("items", {})), min_size=least, max_size=most)
    if kind == "string":
        return _strings(schema)
    if kind in ("integer", "number"):
        return st.integers(schema.get("minimum", -1000), schema.get("maximum", 1000))
    return {"boolean": st.booleans(), "null": st.none()}[kind]


def _objects(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    properties = schema.get("properties", {})
    required = {name: from_schema(properties[name]) for name in schema.get("required", ())}
    optional = {
        name: from_schema(inner)
        for name, inner in properties.items()
        if name not in required and isinstance(inner, Mapping)
    }
    return st.fixed_dictionaries(required, optional=optional)


def _strings(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("pattern") == _NOT_BLANK:
        return st.text(_CHARACTERS, min_size=1, max_size=60).filter(
            lambda text: re.search(_NOT_BLANK, text) is not None
        )
    if "pattern" in schema:
        if "@" not in schema["pattern"]:
            msg = f"pattern {schema['pattern']!r}: only mail addresses and texts that are not blank are generated"
            raise NotImplementedError(msg)
        return _EMAILS
    least = schema.get("minLength", 0)
    return st.text(_CHARACTERS, min_size=least, max_size=min(schema.get("maxLength", 60), 60))
