"""The filters an expression may use: each takes time and writes text in proportion to what it is given.

Jinja's own are not all so: `center(10 ** 9)`, `replace` and a long `join` make gigabytes of a short message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from jinja2 import Undefined
from jinja2.filters import FILTERS

MAX_TEXT_CHARS: Final = 256 * 1024
_MAX_DIGITS: Final = 12


def text_of(value: Any) -> str:
    """Return `value` as it stands inside a text: a text as it is, anything else as JSON (`true`, `null`, `[1,2]`)."""
    if isinstance(value, str):
        return value
    if isinstance(value, Undefined):
        return str(value)  # raises, with its name
    return orjson.dumps(value).decode()


def _join(value: Iterable[Any], separator: str = "") -> str:
    parts = [text_of(one) for one in value]
    length = sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1)
    if length > MAX_TEXT_CHARS:
        msg = f"join would write {length} characters; at most {MAX_TEXT_CHARS} are allowed"
        raise ValueError(msg)
    return separator.join(parts)


def _map(value: Iterable[Any], *, attribute: str) -> list[Any]:
    return [one[attribute] for one in value]


def _sort(
    value: Iterable[Any], *, attribute: str | None = None, reverse: bool = False
) -> list[Any]:
    return sorted(
        value, key=lambda one: one if attribute is None else one[attribute], reverse=reverse
    )


def _sum(value: Iterable[Any], *, attribute: str | None = None) -> Any:
    numbers = value if attribute is None else _map(value, attribute=attribute)
    return sum(_number(one) for one in numbers)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{value!r:.60} is not a number"
        raise TypeError(msg)
    return value


def _round(value: Any, digits: int = 0) -> Any:
    if not 0 <= digits <= _MAX_DIGITS:
        msg = f"round({digits}): digits are 0 to {_MAX_DIGITS}"
        raise ValueError(msg)
    return round(_number(value), digits) if digits else round(_number(value))


def _int(value: Any) -> int:
    return int(value)


def _float(value: Any) -> float:
    return float(value)


def _trim(value: str) -> str:
    return text_of(value).strip()


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _list(value: Any) -> list[Any]:
    return list(value)


def _length(value: Any) -> int:
    if not isinstance(value, str | list | Mapping | Undefined):
        msg = f"{value!r:.60} has no length"
        raise TypeError(msg)
    return len(value)


SAFE_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": lambda value: abs(_number(value)),
    "count": _length,
    "default": FILTERS["default"],
    "d": FILTERS["default"],
    "first": lambda value: value[0],
    "float": _float,
    "int": _int,
    "join": _join,
    "last": lambda value: value[-1],
    "length": _length,
    "list": _list,
    "lower": lambda value: text_of(value).lower(),
    "map": _map,
    "max": max,
    "min": min,
    "round": _round,
    "sort": _sort,
    "string": text_of,
    "sum": _sum,
    "tojson": _to_json,
    "trim": _trim,
    "upper": lambda value: text_of(value).upper(),
}
"""By the name an expression says."""
