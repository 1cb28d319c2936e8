"""What data must have for a schema to accept it: keys that are required, and strings they must hold. Read off the schema.

Necessary, never sufficient: whoever lacks it is refused by the contract, whoever has it is still put to the contract. What is
not understood here (patterns, ranges, `not`, arrays …) demands nothing, so a mistake of omission costs time and no candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from signalbox.definitions.pointers import local_target

MAX_ALTERNATIVES: Final = 8
"""Ways to satisfy a schema (`anyOf`, `if` …) that are told apart; a schema with more is looked at without them."""
MAX_PATH: Final = 4
_MAX_NESTED: Final = 12

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """The data has something at `path`; one of `values`, where that is not None."""

    path: Path
    values: frozenset[str] | None = None

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Say whether `data` meets it."""
        value: Any = data
        for key in self.path:
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        # A list is not hashable, so the type comes first.
        return self.values is None or (isinstance(value, str) and value in self.values)


Conditions = tuple[Condition, ...]


def requirements(schema: Mapping[str, Any]) -> tuple[Conditions, ...]:
    """Return the ways an object can satisfy `schema`: it meets every condition of at least one of them, or is refused."""
    found = (_conditions(shape, schema, ()) for shape in _shapes(schema, schema, 0))
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Shape:
    """One way through a schema's alternatives: what is required, and every schema that a property must satisfy."""

    required: frozenset[str] = frozenset()
    properties: tuple[tuple[str, Any], ...] = ()

    def __add__(self, other: _Shape) -> _Shape:
        return _Shape(self.required | other.required, self.properties + other.properties)


_ANYTHING: Final = (_Shape(),)


def _shapes(schema: Any, root: Mapping[str, Any], depth: int) -> Sequence[_Shape]:
    if not isinstance(schema, Mapping) or depth > _MAX_NESTED:
        return _ANYTHING
    found: Sequence[_Shape] = (_own(schema),)
    for part in _parts(schema, root, depth):
        if len(found) * len(part) <= MAX_ALTERNATIVES:
            found = [one + other for one, other in product(found, part)]
    return found


def _own(schema: Mapping[str, Any]) -> _Shape:
    required, properties = schema.get("required"), schema.get("properties")
    return _Shape(
        frozenset(required) if isinstance(required, list) else frozenset(),
        tuple(properties.items()) if isinstance(properties, Mapping) else (),
    )


def _parts(
    schema: Mapping[str, Any], root: Mapping[str, Any], depth: int
) -> Iterator[Sequence[_Shape]]:
    """Yield what must hold beside the schema's own keywords, each as its alternatives."""
    inner = depth + 1
    if "$ref" in schema:
        yield _shapes(local_target(schema["$ref"], root), root, inner)
    for part in schema.get("allOf", ()):
        yield _shapes(part, root, inner)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            yield [shape for part in schema[keyword] for shape in _shapes(part, root, inner)]
    if "if" in schema:
        tested = _shapes(schema["if"], root, inner)
        then = _shapes(schema.get("then", True), root, inner)
        yield [
            *(one + other for one, other in product(tested, then)),
            *_shapes(schema.get("else", True), root, inner),
        ]


def _conditions(shape: _Shape, root: Mapping[str, Any], above: Path) -> Conditions:
    found: list[Condition] = []
    for name in sorted(shape.required):
        path = (*above, name)
        schemas = [schema for key, schema in shape.properties if key == name]
        found.append(Condition(path, _strings(schemas)))
        if len(path) < MAX_PATH and any(_is_object(schema, root) for schema in schemas):
            found += _inside(schemas, root, path)
    return tuple(found)


def _inside(schemas: Sequence[Any], root: Mapping[str, Any], path: Path) -> Conditions:
    """Return what all of `schemas` demand below `path`, where only an object may stand."""
    whole = _Shape()
    for schema in schemas:
        shapes = _shapes(schema, root, len(path))
        whole += shapes[0] if len(shapes) == 1 else _Shape()
    return _conditions(whole, root, path)


def _strings(schemas: Sequence[Any]) -> frozenset[str] | None:
    """Return the strings that a value may be, or None where it may be something else.

    Strings alone: the equality of numbers (1, 1.0, large ones) is the validator's business.
    """
    allowed: frozenset[str] | None = None
    for schema in schemas:
        options = _options(schema)
        if options is not None and all(isinstance(option, str) for option in options):
            strings = frozenset(options)
            allowed = strings if allowed is None else allowed & strings
    return allowed


def _options(schema: Any) -> Sequence[Any] | None:
    if not isinstance(schema, Mapping):
        return None
    if "const" in schema:
        return (schema["const"],)
    options: Sequence[Any] | None = schema.get("enum")
    return options


def _is_object(schema: Any, root: Mapping[str, Any], depth: int = 0) -> bool:
    if not isinstance(schema, Mapping) or depth > _MAX_NESTED:
        return False
    if schema.get("type") in ("object", ["object"]):
        return True
    return "$ref" in schema and _is_object(local_target(schema["$ref"], root), root, depth + 1)
