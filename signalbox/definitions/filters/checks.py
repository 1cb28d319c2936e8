"""What a filter is compiled to: a question put to a message, with what it may fail at, and AND, OR, NOT of such questions.

A question that cannot be answered fails. `any` is still true where another part is, `all` still false where another part is
not, whatever their order; NOT of a failure is a failure (Kleene's three values).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from signalbox.definitions.filters.event_types import TypePattern
from signalbox.definitions.filters.view import FilterFailureError, MessageView


@dataclass(frozen=True, slots=True)
class Check:
    """`asks(view)` answers or raises FilterFailureError. `types`: outside these it is never true; None where that is not known."""

    asks: Callable[[MessageView], bool]
    types: frozenset[TypePattern] | None = None


ALWAYS = Check(lambda _: True)


def all_of(checks: Sequence[Check]) -> Check:
    """Return what is true where every one is; of none it is always true."""
    if not checks:
        return ALWAYS
    if len(checks) == 1:
        return checks[0]

    def asks(view: MessageView) -> bool:
        failure: FilterFailureError | None = None
        for check in checks:
            try:
                if not check.asks(view):
                    return False
            except FilterFailureError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return True

    return Check(asks, _narrowest(check.types for check in checks))


def any_of(checks: Sequence[Check]) -> Check:
    """Return what is true where one is."""
    if len(checks) == 1:
        return checks[0]

    def asks(view: MessageView) -> bool:
        failure: FilterFailureError | None = None
        for check in checks:
            try:
                if check.asks(view):
                    return True
            except FilterFailureError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return False

    return Check(asks, _union(check.types for check in checks))


def negation(check: Check) -> Check:
    """Return what is true where `check` is false."""
    return Check(lambda view: not check.asks(view))


def _narrowest(found: Iterable[frozenset[TypePattern] | None]) -> frozenset[TypePattern] | None:
    """Of sets that all hold, the one that lets an index leave out most: fewest patterns with a wildcard, then fewest."""
    known = [types for types in found if types is not None]
    return min(known, key=_breadth, default=None)


def _breadth(types: frozenset[TypePattern]) -> tuple[bool, int, int]:
    shortest = min((len(pattern.literal) for pattern in types), default=0)
    return any(not pattern.is_exact for pattern in types), -shortest, len(types)


def _union(found: Iterable[frozenset[TypePattern] | None]) -> frozenset[TypePattern] | None:
    together: frozenset[TypePattern] = frozenset()
    for types in found:
        if types is None:
            return None
        together |= types
    return together
