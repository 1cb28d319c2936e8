"""What a schema may not do, checked before it is compiled: reach outside itself, run for ever, or match without bound.

A definition is data from a file or a topic. Allowed is one self-contained document: references are `#` or `#/$defs/<name>`,
recursion must go into the data (so it ends where the data ends), patterns match in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs

from signalbox.definitions.pointers import local_target, pointer_parts

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_DEPTH: Final = 60
MAX_EXPANDED: Final = 20_000
"""Subschemas with every reference written out: twenty definitions that each use the next one twice make a million."""
MAX_PATTERN_BYTES: Final = 256 * 1024
"""Of a compiled pattern. Matching takes time in proportion: at this size about a second for the longest text admitted."""
PATTERN_OPTIONS: Final = jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES)

Path = tuple[str | int, ...]

_IN_PLACE: Final = ("not", "if", "then", "else")
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_BELOW: Final = (
    "items",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
    "contentSchema",
)
_BELOW_MAPS: Final = ("properties", "patternProperties")
_APART_MAPS: Final = ("$defs", "definitions")
_FOREIGN: Final = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor")
_BACKTRACKING: Final = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")


class SchemaProblem(ValueError):
    """What is wrong with a schema; `path` leads to it inside the schema."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def check_before_compiling(schema: Mapping[str, Any]) -> bool:
    """Say whether `schema` is recursive.

    Raises:
        SchemaProblem: at the first thing that a contract may not do.
    """
    for path, part in _subschemas(schema, ()):
        if len(path) > MAX_DEPTH * 2:
            msg = f"nested deeper than {MAX_DEPTH}; flatten it, or move parts to $defs"
            raise SchemaProblem(msg, path[:4])
        _check_words(part, path)
        _check_reference(part, path, schema)
        _check_patterns(part, path)
    size = _Size(schema)
    size.of(schema, (), ((id(schema), False),))
    return size.is_recursive


def unrolled(schema: Any, root: Mapping[str, Any], above: tuple[int, ...] = ()) -> Any:
    """Return a copy without references: each is written out, and where it recurs anything goes. For explanations only."""
    if isinstance(schema, list):
        return [unrolled(item, root, above) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    inner = {
        key: unrolled(value, root, above)
        for key, value in schema.items()
        if key not in ("$ref", *_APART_MAPS)
    }
    if not isinstance(schema.get("$ref"), str):
        return inner
    target = local_target(schema["$ref"], root)
    if id(target) in above:
        return inner
    return {"allOf": [unrolled(target, root, (*above, id(target))), inner]}


def _subschemas(schema: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every schema in the document with its path. What is data (`const`, `enum`, `default` …) is not looked into."""
    waiting: list[tuple[Path, Any]] = [(path, schema)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, Mapping):
            yield path, part
            waiting += _inner(part, path, (*_IN_PLACE, *_BELOW), _ALL_LISTS, _ALL_MAPS)


_ALL_LISTS: Final = (*_IN_PLACE_LISTS, "prefixItems")
_ALL_MAPS: Final = (*_BELOW_MAPS, "dependentSchemas", *_APART_MAPS)


def _inner(
    part: Mapping[str, Any],
    path: Path,
    single: tuple[str, ...],
    lists: tuple[str, ...],
    maps: tuple[str, ...],
) -> Iterator[tuple[Path, Any]]:
    for key in single:
        if key in part:
            yield (*path, key), part[key]
    for key in lists:
        if isinstance(part.get(key), list):
            for number, one in enumerate(part[key]):
                yield (*path, key, number), one
    for key in maps:
        if isinstance(part.get(key), Mapping):
            for name, one in part[key].items():
                yield (*path, key, name), one


def _check_words(part: Mapping[str, Any], path: Path) -> None:
    dialect = part.get("$schema", DIALECT)
    if dialect not in (DIALECT, f"{DIALECT}#"):
        msg = f"$schema {dialect!r}: contracts are JSON Schema 2020-12; leave $schema out"
        raise SchemaProblem(msg, (*path, "$schema"))
    if path and "$id" in part:
        msg = f"$id {part['$id']!r} inside a schema: a contract is one document; leave it out"
        raise SchemaProblem(msg, (*path, "$id"))
    for word in _FOREIGN:
        if word in part:
            msg = f"{word} is not supported; put the schema under $defs and write `$ref: '#/$defs/<name>'`"
            raise SchemaProblem(msg, (*path, word))


def _check_reference(part: Mapping[str, Any], path: Path, root: Mapping[str, Any]) -> None:
    reference = part.get("$ref")
    if not isinstance(reference, str):
        return
    if pointer_parts(reference) is None:
        msg = f"$ref to {reference!r}: a contract is self-contained and nothing is fetched; inline it under $defs"
        raise SchemaProblem(msg, (*path, "$ref"))
    if not isinstance(local_target(reference, root), Mapping | bool):
        known = ", ".join(sorted(map(str, root.get("$defs", {})))[:10]) or "nothing"
        msg = f"$ref to {reference!r}: there is no such schema; $defs has {known}"
        raise SchemaProblem(msg, (*path, "$ref"))


def _check_patterns(part: Mapping[str, Any], path: Path) -> None:
    found: list[tuple[Path, Any]] = [((*path, "pattern"), part.get("pattern"))]
    if isinstance(part.get("patternProperties"), Mapping):
        found += [((*path, "patternProperties", key), key) for key in part["patternProperties"]]
    for place, pattern in found:
        if isinstance(pattern, str):
            problem = _pattern_problem(pattern)
            if problem:
                raise SchemaProblem(problem, place)


def _pattern_problem(pattern: str) -> str | None:
    shown = pattern if len(pattern) <= 60 else f"{pattern[:59]}…"
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=PATTERN_OPTIONS)
    except (ValueError, jsonschema_rs.ValidationError):
        if _BACKTRACKING.search(pattern):
            return f"pattern {shown!r}: look-around and back-references can take for ever; use `not: {{pattern: …}}` or an `enum`"
        try:
            jsonschema_rs.Draft202012Validator({"pattern": pattern})
        except (ValueError, jsonschema_rs.ValidationError):
            return f"pattern {shown!r} {_not_a_pattern(pattern)}"
        return f"pattern {shown!r} is too large a regular expression; bound lengths by `maxLength` instead of `{{0,n}}`"
    return None


def _not_a_pattern(pattern: str) -> str:
    # The validator says no more than that it is none; Python's own parser says what and where.
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression: {error}"
    return "is far too large a regular expression, or none of this dialect (ECMA 262); bound lengths by `maxLength`"


class _Size:
    """Counts subschemas with references written out, and finds recursion."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self.is_recursive = False

    def of(self, schema: Any, path: Path, open_: tuple[tuple[int, bool], ...]) -> int:
        """Return the size of `schema`. `open_`: the referenced schemas around it, and whether the data was entered since."""
        if not isinstance(schema, Mapping):
            return 1
        total = 1 + self._reference(schema, path, open_)
        for place, one in _inner(schema, path, _IN_PLACE, _IN_PLACE_LISTS, ("dependentSchemas",)):
            total += self.of(one, place, open_)
        entered = tuple((name, True) for name, _ in open_)
        for place, one in _inner(schema, path, _BELOW, ("prefixItems",), _BELOW_MAPS):
            total += self.of(one, place, entered)
        if total > MAX_EXPANDED:
            msg = f"with its references written out it has more than {MAX_EXPANDED} parts; let it refer to fewer schemas, fewer times"
            raise SchemaProblem(msg, path)
        return total

    def _reference(
        self, schema: Mapping[str, Any], path: Path, open_: tuple[tuple[int, bool], ...]
    ) -> int:
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return 0
        target = local_target(reference, self._root)
        around = dict(open_)
        if id(target) in around:
            self.is_recursive = True
            if not around[id(target)]:
                msg = f"$ref to {reference!r} refers to itself without going into the data; put it under a property or `items`"
                raise SchemaProblem(msg, (*path, "$ref"))
            return 1
        if len(open_) > MAX_DEPTH:
            msg = f"$ref to {reference!r}: more than {MAX_DEPTH} references lead here, each from the last"
            raise SchemaProblem(msg, (*path, "$ref"))
        if id(target) not in self._known:
            self._known[id(target)] = self.of(
                target, pointer_parts(reference) or (), (*open_, (id(target), False))
            )
        return self._known[id(target)]
