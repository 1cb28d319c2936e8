"""JSONPath (RFC 9535) over a message's data, with its work bounded: python-jsonpath, counted at every node it makes or asks.

Inside filters `match` and `search` use patterns that cannot backtrack. A path may descend as often as it likes: it fails when it
looks at more nodes than it may, which is no match.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonpath
from jsonpath.filter import FilterQuery, walk
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.selectors import Filter

from signalbox.definitions.filters.pattern import linear_pattern
from signalbox.definitions.filters.view import FilterFailureError, MessageView

MAX_PATH_CHARS: Final = 500
MAX_NODES: Final = 20_000
"""Nodes that one path may make or look at on one message: about a third of a second."""
STEPS_PER_NODE: Final = 10


class _Counting(threading.local):
    """Subtasks share compiled paths and are threads: each counts for itself."""

    view: MessageView | None = None
    left: int = 0

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            msg = f"the JSONPath looks at more than {MAX_NODES} nodes of this data"
            raise FilterFailureError(msg)


_COUNTING: Final = _Counting()


class _CountedMatch(jsonpath.JSONPathMatch):
    __slots__ = ()

    def __init__(self, **fields: Any) -> None:
        _COUNTING.step()
        super().__init__(**fields)


class _CountedPath(jsonpath.JSONPath):
    """A path whose nodes are counted; the library's own makes its first node, and so all that come of it, without asking."""

    def finditer(
        self, data: Any, *, filter_context: Mapping[str, Any] | None = None
    ) -> Iterable[jsonpath.JSONPathMatch]:
        matches: Iterable[jsonpath.JSONPathMatch] = [
            _CountedMatch(
                filter_context=filter_context or {},
                obj=data,
                parent=None,
                path="$",
                parts=(),
                root=data,
            )
        ]
        for segment in self.segments:
            matches = segment.resolve(matches)
        return matches


class _Regex(FilterFunction):
    """`match` and `search` of RFC 9535 §2.4.6-7; a pattern that is none, or could take for ever, matches nothing."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012 (as the library declares it)
    return_type = ExpressionType.LOGICAL

    def __init__(self, *, is_whole: bool) -> None:
        self._is_whole = is_whole

    def __call__(self, value: object, pattern: object) -> bool:
        view = _COUNTING.view
        if not isinstance(value, str) or not isinstance(pattern, str) or view is None:
            return False
        try:
            compiled = linear_pattern(
                f"^(?:{pattern})$" if self._is_whole else pattern, case_sensitive=True
            )
        except FilterFailureError:
            raise
        except ValueError:
            return False
        return compiled.search(value, view)


class _Environment(jsonpath.JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _Regex(is_whole=True)
        self.function_extensions["search"] = _Regex(is_whole=False)

    def is_truthy(self, obj: object) -> bool:
        _COUNTING.step()  # once for each member that a filter looks at
        return super().is_truthy(obj)


_ENVIRONMENT: Final = _Environment(strict=True, filter_caching=True)


class DataPath:
    """A compiled path."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        """Compile `text`.

        Raises:
            ValueError: it is no JSONPath.
        """
        if len(text) > MAX_PATH_CHARS:
            msg = f"a JSONPath of {len(text)} characters; at most {MAX_PATH_CHARS}"
            raise ValueError(msg)
        try:
            compiled = _ENVIRONMENT.compile(text)
        except (jsonpath.JSONPathError, RecursionError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            msg = f"{text!r} is no JSONPath (RFC 9535): {first}; write `$.symbol` or `$.orders[?@.size > 100]`"
            raise ValueError(msg) from None
        if not isinstance(compiled, jsonpath.JSONPath):
            msg = f"{text!r} is several JSONPaths; write a filter `any` of them"
            raise ValueError(msg)  # noqa: TRY004 (the text is wrong, not its type)
        self.text = text
        self._compiled = _counted(compiled)

    def is_found(self, view: MessageView) -> bool:
        """Say whether it selects anything in the data of `view`.

        Raises:
            FilterFailureError: see `values`.
        """
        return bool(self._selected(view, 1))

    def values(self, view: MessageView) -> list[Any]:
        """Return what it selects in the data of `view`.

        Raises:
            FilterFailureError: it looks at more nodes than a path, or all filters of a message, may.
        """
        return self._selected(view, None)

    def _selected(self, view: MessageView, limit: int | None) -> list[Any]:
        _COUNTING.view = view
        allowed = _COUNTING.left = min(MAX_NODES, view.steps_left // STEPS_PER_NODE)
        try:
            return [match.obj for match in islice(self._compiled.finditer(view.data), limit)]
        except (jsonpath.JSONPathError, RecursionError) as error:
            msg = f"{self.text}: {type(error).__name__} on this data"
            raise FilterFailureError(msg) from None
        finally:
            _COUNTING.view = None
            view.spend((allowed - max(0, _COUNTING.left)) * STEPS_PER_NODE)


def _counted(path: jsonpath.JSONPath) -> _CountedPath:
    for segment in path.segments:
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                for expression in walk(selector.expression):
                    if isinstance(expression, FilterQuery):
                        expression.path = _counted(expression.path)
    return _CountedPath(env=path.env, segments=path.segments)


@lru_cache(maxsize=4_096)
def data_path(text: str) -> DataPath:
    """Return the compiled path; equal ones share one.

    Raises:
        ValueError: see `DataPath`.
    """
    return DataPath(text)
