"""Comparisons of a composite filter. What is missing fulfils none, `!=` included; what has no order fails `<` and its like."""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any, Final

from signalbox.definitions.filters.fields import MISSING, Field
from signalbox.definitions.filters.view import CHARS_PER_STEP, FilterFailureError, MessageView

_Asks = Callable[[MessageView], bool]
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def same(one: Any, other: Any, *, case_sensitive: bool) -> bool:
    """Say whether two JSON values are equal; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, str) and isinstance(other, str):
        return one == other if case_sensitive else one.casefold() == other.casefold()
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def equals(field: Field, value: Any, *, case_sensitive: bool) -> _Asks:
    """Return whether the field has `value`."""

    def asks(view: MessageView) -> bool:
        found = field.read(view)
        return found is not MISSING and same(found, value, case_sensitive=case_sensitive)

    return asks


def is_source(name: str) -> _Asks:
    """Return whether the message comes from `name`: the whole of `source`, or what follows its kind."""

    def asks(view: MessageView) -> bool:
        source: str = view.attribute("source")
        return name.casefold() in {source.casefold(), source.rpartition("/")[2].casefold()}

    return asks


def contains(field: Field, value: Any, *, case_sensitive: bool) -> _Asks:
    """Return whether a text has `value` in it, or a list has it as an item."""

    def asks(view: MessageView) -> bool:
        found = field.read(view)
        if isinstance(found, str):
            view.spend(1 + len(found) // CHARS_PER_STEP)
            text = str(value)
            return text in found if case_sensitive else text.casefold() in found.casefold()
        if isinstance(found, list):
            view.spend(1 + len(found))
            return any(same(item, value, case_sensitive=case_sensitive) for item in found)
        return False

    return asks


def ordered(
    field: Field, operator: str, other: Any, factor: float, *, case_sensitive: bool
) -> _Asks:
    """Return whether `field operator factor * other` holds; `other` is a value or a Field."""

    def asks(view: MessageView) -> bool:
        left = field.read(view)
        right = other.read(view) if isinstance(other, Field) else other
        if left is MISSING or right is MISSING:
            return False
        if factor != 1:
            right = _number(right, other) * factor
        if operator in {"=", "==", "!="}:
            is_same = same(left, right, case_sensitive=case_sensitive)
            return is_same if operator != "!=" else not is_same
        if isinstance(left, str) and isinstance(right, str):
            if not case_sensitive:
                left, right = left.casefold(), right.casefold()
            return _ORDER[operator](left, right)
        return _ORDER[operator](_number(left, field), _number(right, other))

    return asks


def _number(value: Any, of: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        name = of.text if isinstance(of, Field) else repr(of)
        msg = f"{name} is a JSON {_kind(value)}, which has no order beside a number"
        raise FilterFailureError(msg)
    return value


def _kind(value: Any) -> str:
    names = {str: "string", bool: "boolean", dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), "number")
