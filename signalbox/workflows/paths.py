"""`{$path: …}`: a value by JSONPath (RFC 9535) out of `{data, steps}`.

A path that can name one value only gives that value, any other a list. Allowed is what takes time in proportion to the data:
one descent, one selector a segment, no regular expressions, no query from the root inside a filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonpath
from jsonpath.filter import BaseExpression, FilterQuery, FunctionExtension, RootFilterQuery
from jsonpath.segments import JSONPathRecursiveDescentSegment
from jsonpath.selectors import Filter, IndexSelector, NameSelector

from signalbox.workflows.errors import TemplateProblem
from signalbox.workflows.references import Reference, Scope, reference_of

MAX_PATH_CHARS: Final = 500
MAX_NODES: Final = 10_000
_ENVIRONMENT: Final = jsonpath.JSONPathEnvironment(strict=True)
_REGEX: Final = frozenset({"match", "search"})
_EXAMPLE: Final = "write `$.data.<field>` or `$.steps.<id>.<field>`"


class TooManyError(ValueError):
    """A path found more than `MAX_NODES` values."""


@dataclass(frozen=True, slots=True)
class DataPath:
    """A compiled path. `reference` is its beginning, as far as it names one value."""

    text: str
    reference: Reference
    is_single: bool
    _compiled: jsonpath.JSONPath

    def values(self, scope: Scope) -> list[Any]:
        """Return what it finds, in the order of the data.

        Raises:
            TooManyError: more than `MAX_NODES`.
        """
        if self.is_single:  # most are, and going there takes a tenth of the library's time
            return list(self.reference.values(scope))
        found = [match.obj for match in islice(self._compiled.finditer(scope), MAX_NODES + 1)]
        if len(found) > MAX_NODES:
            msg = f"{self.text} finds more than {MAX_NODES} values"
            raise TooManyError(msg)
        return found


@lru_cache(maxsize=10_000)
def data_path(text: str) -> DataPath:
    """Compile `text`.

    Raises:
        TemplateProblem: it is no JSONPath, leaves `data` and `steps`, or may take longer than the data is large.
    """
    if len(text) > MAX_PATH_CHARS:
        msg = f"a path of {len(text)} characters"
        raise TemplateProblem(msg, f"at most {MAX_PATH_CHARS}; fetch the value in two steps")
    try:
        compiled = _ENVIRONMENT.compile(text)
    except (jsonpath.JSONPathError, RecursionError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        msg = f"$path {text!r} is no JSONPath: {first}"
        raise TemplateProblem(msg, _EXAMPLE) from None
    if not isinstance(compiled, jsonpath.JSONPath):
        msg = f"$path {text!r} is several paths"
        raise TemplateProblem(msg, _EXAMPLE)
    _refuse_costly(compiled, text)
    parts = _beginning(compiled)
    if not parts:
        msg = f"$path {text!r} begins neither with `data` nor with a step"
        raise TemplateProblem(msg, _EXAMPLE)
    is_single = len(parts) == len(compiled.segments)
    return DataPath(text, reference_of(parts, is_whole=is_single), is_single, compiled)


def _beginning(compiled: jsonpath.JSONPath) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    for segment in compiled.segments:
        selector = segment.selectors[0]
        if isinstance(segment, JSONPathRecursiveDescentSegment):
            break
        if isinstance(selector, NameSelector):
            parts.append(selector.name)
        elif isinstance(selector, IndexSelector):
            parts.append(selector.index)
        else:
            break
    return tuple(parts)


def _refuse_costly(compiled: jsonpath.JSONPath, text: str) -> None:
    descents = 0
    waiting = [compiled]
    while waiting:
        for segment in waiting.pop().segments:
            descents += isinstance(segment, JSONPathRecursiveDescentSegment)
            if len(segment.selectors) > 1:
                raise _costly(text, "has several selectors in one pair of brackets")
            for selector in segment.selectors:
                if isinstance(selector, Filter):
                    waiting += _inside(selector.expression, text)
    if descents > 1:
        raise _costly(text, "descends (`..`) more than once")


def _inside(expression: BaseExpression, text: str) -> list[jsonpath.JSONPath]:
    if isinstance(expression, RootFilterQuery):
        raise _costly(text, "asks from the root (`$`) inside a filter")
    if isinstance(expression, FunctionExtension) and expression.name in _REGEX:
        raise _costly(text, f"uses a regular expression ({expression.name})")
    found = [expression.path] if isinstance(expression, FilterQuery) else []
    for child in expression.children():
        found += _inside(child, text)
    return [one for one in found if isinstance(one, jsonpath.JSONPath)]


def _costly(text: str, what: str) -> TemplateProblem:
    msg = f"$path {text!r} {what}"
    return TemplateProblem(msg, "a mapping takes time in proportion to the data; say it in parts")
