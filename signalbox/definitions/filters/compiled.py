"""From a filter of a definition to a `Check`; done once for each digest of definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from signalbox.definitions.filters.checks import Check, all_of, any_of, negation
from signalbox.definitions.filters.comparing import same
from signalbox.definitions.filters.event_types import TypePattern
from signalbox.definitions.filters.json_path import data_path
from signalbox.definitions.filters.pattern import linear_pattern
from signalbox.definitions.filters.view import MessageView
from signalbox.definitions.filters.where import parse_where

if TYPE_CHECKING:
    from signalbox.definitions.filters.specs import FilterSpec


def compile_one(spec: FilterSpec) -> Check:
    """Compile one filter.

    Raises:
        ValueError: a pattern, a path or an expression in it is wrong; says what is right.
    """
    check = _COMPILERS[spec.kind](spec)
    return negation(check) if spec.negate else check


def _event_type(spec: FilterSpec) -> Check:
    patterns = frozenset(map(TypePattern.of, spec.types))
    return Check(lambda view: any(one.accepts(view.type) for one in patterns), patterns)


def _content(spec: FilterSpec) -> Check:
    text = spec.content or ""
    if spec.case_sensitive:
        return Check(lambda view: text in view.read_text())
    folded = text.casefold()
    return Check(lambda view: folded in view.read_folded_text())


def _regex(spec: FilterSpec) -> Check:
    pattern = linear_pattern(spec.regex or "", case_sensitive=spec.case_sensitive)
    return Check(lambda view: pattern.search(view.read_text(), view))


def _json_path(spec: FilterSpec) -> Check:
    path = data_path(spec.json_path or "")
    if spec.regex is not None:
        pattern = linear_pattern(spec.regex, case_sensitive=spec.case_sensitive)

        def finds(view: MessageView) -> bool:
            texts = (value for value in path.values(view) if isinstance(value, str))
            return any(pattern.search(text, view) for text in texts)

        return Check(finds)
    if spec.one_of is not None:
        wanted, is_sensitive = spec.one_of, spec.case_sensitive

        def is_one(view: MessageView) -> bool:
            return any(_is_among(value, wanted, is_sensitive, view) for value in path.values(view))

        return Check(is_one)
    return Check(path.is_found)


def _is_among(value: Any, wanted: tuple[Any, ...], is_sensitive: bool, view: MessageView) -> bool:
    view.spend(1 + len(wanted))
    return any(same(value, one, case_sensitive=is_sensitive) for one in wanted)


def _where(spec: FilterSpec) -> Check:
    return parse_where(spec.where or "", case_sensitive=spec.case_sensitive)


def _composite(spec: FilterSpec) -> Check:
    parts = [compile_one(part) for part in spec.parts]
    if spec.kind == "not":
        return negation(parts[0])
    return all_of(parts) if spec.kind == "all" else any_of(parts)


_COMPILERS: Final[dict[str, Callable[[FilterSpec], Check]]] = {
    "event_type": _event_type,
    "content": _content,
    "regex": _regex,
    "json_path": _json_path,
    "where": _where,
    "all": _composite,
    "any": _composite,
    "not": _composite,
}
