"""How a value of a definition is filled in: each becomes a function from the scope to JSON, with what it refers to.

What is written counts against a budget while it is written, so that a short mapping cannot make a long message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson
from jinja2 import Undefined

from signalbox.workflows.errors import MappingError, TemplateProblem
from signalbox.workflows.expressions import Expression, parts_of
from signalbox.workflows.filters import text_of
from signalbox.workflows.paths import DataPath, data_path
from signalbox.workflows.references import Reference, Scope

MAX_RENDERED_BYTES: Final = 256 * 1024
"""As much as an admitted message may have."""
PATH_KEY: Final = "$path"
TASKS_KEY: Final = "$tasks"
"""Replaced by what became of a plan's tasks before anything is compiled; one that is left names no plan."""
DEFAULT_KEY: Final = "default"

Place = tuple[str | int, ...]


class Budget:
    """How many bytes may still be written."""

    def __init__(self) -> None:
        self._left = MAX_RENDERED_BYTES

    def spend(self, value: Any) -> Any:
        """Return `value`, whose bytes as JSON are spent.

        Raises:
            MappingError: it is not JSON, or too much was written.
        """
        try:
            self._left -= len(orjson.dumps(value))
        except TypeError as error:
            msg = f"gives what is not JSON: {error}"
            raise MappingError(msg) from None
        if self._left < 0:
            msg = f"more than {MAX_RENDERED_BYTES} bytes come out"
            raise MappingError(msg)
        return value


Fill = Callable[[Scope, Budget], Any]
"""Raises `MappingError` where the values do not bear it."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that holds no expression."""

    value: Any


Found = list[tuple[Place, Reference | Literal]]


def compiled_value(value: Any, place: Place) -> tuple[Fill, Found]:
    """Compile `value`, which stands at `place`; also return what it refers to and its literals, with their places.

    Raises:
        TemplateProblem: with the path to what is wrong.
    """
    if isinstance(value, Mapping):
        if TASKS_KEY in value:
            msg = f"{{{TASKS_KEY}: {value[TASKS_KEY]!r:.60}}} is not the tasks of a plan"
            raise TemplateProblem(msg, f"`{TASKS_KEY}` stands alone and names a plan step", place)
        return _path(value, place) if PATH_KEY in value else _object(value, place)
    if isinstance(value, list | tuple):
        return _array(value, place)
    if isinstance(value, str) and "{" in value:
        return _template(value, place)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{value} is not a number of JSON"
        raise TemplateProblem(msg, "write a finite number, or null", place)
    if not isinstance(value, str | int | float | None):
        msg = f"a {type(value).__name__} is not a value of JSON"
        raise TemplateProblem(msg, "put it in quotes", place)
    return (lambda _, budget: budget.spend(value)), [(place, Literal(value))]


def _object(value: Mapping[str, Any], place: Place) -> tuple[Fill, Found]:
    fills: list[tuple[str, Fill]] = []
    found: Found = [] if value else [(place, Literal({}))]
    for key, one in value.items():
        if not isinstance(key, str):
            is_braces = isinstance(key, Mapping)  # what YAML makes of {{ data.x }}
            msg = "`{{ … }}` without quotes" if is_braces else f"the field {key!r} is no text"
            raise TemplateProblem(msg, "put it in quotes: YAML reads it otherwise", place)
        fill, inner = compiled_value(one, (*place, key))
        fills.append((key, fill))
        found += inner

    def filled(scope: Scope, budget: Budget) -> dict[str, Any]:
        return {budget.spend(key): fill(scope, budget) for key, fill in fills}

    return filled, found


def _array(value: list[Any] | tuple[Any, ...], place: Place) -> tuple[Fill, Found]:
    compiled = [compiled_value(one, (*place, number)) for number, one in enumerate(value)]
    found = [entry for _, inner in compiled for entry in inner]
    fills = [fill for fill, _ in compiled]
    return (lambda scope, budget: [fill(scope, budget) for fill in fills]), found or [
        (place, Literal([]))
    ]


def _template(text: str, place: Place) -> tuple[Fill, Found]:
    try:
        parts = _parts(text)
    except TemplateProblem as problem:
        raise problem.below(*place) from None
    expressions = [part for part in parts if isinstance(part, Expression)]
    if not expressions:
        plain = "".join(str(part) for part in parts)
        return (lambda _, budget: budget.spend(plain)), [(place, Literal(plain))]
    found: Found = [(place, one) for part in expressions for one in part.references]
    if len(parts) == 1:
        return one_value(expressions[0], place), found
    found = [
        (place, replace(one, is_whole=False)) for part in expressions for one in part.references
    ]
    pieces = [part if isinstance(part, str) else one_value(part, place) for part in parts]

    def filled(scope: Scope, budget: Budget) -> str:
        written = [
            piece if isinstance(piece, str) else text_of(piece(scope, budget)) for piece in pieces
        ]
        return "".join(written)

    return filled, found


@lru_cache(maxsize=10_000)
def _parts(text: str) -> tuple[str | Expression, ...]:
    return parts_of(text)


def one_value(expression: Expression, place: Place) -> Fill:
    """Return what gives the expression's value as it is: a number stays a number."""

    def filled(scope: Scope, budget: Budget) -> Any:
        try:
            return budget.spend(_plain(expression.value(scope)))
        except MappingError as error:
            raise MappingError(error.problem, field=_written(place)) from None
        # Whatever an expression of a definition raises is about the values of one message.
        except Exception as error:
            raise MappingError(
                _why(expression.references, scope, error), field=_written(place)
            ) from None

    return filled


def _path(value: Mapping[str, Any], place: Place) -> tuple[Fill, Found]:
    text = value[PATH_KEY]
    others = [key for key in value if key not in (PATH_KEY, DEFAULT_KEY)]
    if others or not isinstance(text, str):
        msg = f"{others[0]!r} beside {PATH_KEY}" if others else f"{PATH_KEY}: {text!r:.60}"
        hint = f"beside {PATH_KEY}, which is a text, only `{DEFAULT_KEY}` may stand"
        raise TemplateProblem(msg, hint, place)
    try:
        path = data_path(text)
    except TemplateProblem as problem:
        raise problem.below(*place, PATH_KEY) from None
    has_default = DEFAULT_KEY in value
    is_whole = path.is_single and not has_default
    reference = replace(path.reference, is_guarded=has_default, is_whole=is_whole)

    def filled(scope: Scope, budget: Budget) -> Any:
        try:
            return budget.spend(_found(path, scope, value))
        except MappingError as error:
            raise MappingError(error.problem, field=_written(place)) from None
        except Exception as error:  # of the library, about the values of one message
            msg = f"{text}: {error}"
            raise MappingError(msg, field=_written(place)) from None

    found: Found = [((*place, PATH_KEY), reference)]
    return filled, [*found, (place, Literal(value[DEFAULT_KEY]))] if has_default else found


def _found(path: DataPath, scope: Scope, spec: Mapping[str, Any]) -> Any:
    values = path.values(scope)
    if not path.is_single:
        missing = None if values else path.reference.what_is_missing(scope)
        if missing is None:
            return values
    elif values:
        return values[0]
    if DEFAULT_KEY in spec:
        return spec[DEFAULT_KEY]
    raise MappingError(path.reference.what_is_missing(scope) or f"{path.text} finds nothing")


def _plain(value: Any) -> Any:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | Iterator):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{value} is not a number of JSON"
        raise ValueError(msg)
    return value


def _why(references: tuple[Reference, ...], scope: Scope, error: Exception) -> str:
    missing = (one.what_is_missing(scope) for one in references if not one.is_guarded)
    return (
        next((text for text in missing if text is not None), None)
        or (f"{type(error).__name__}: {error}"[:300])
    )


def _written(place: Place) -> str:
    return ".".join(map(str, place))
