"""A mapping of a definition, filled in: literals, strings with `{{ … }}`, `{$path: …}`, over `data` and `steps`.

A string that is one expression gives the value as it is (a number stays a number); in a longer text values are written out.
What comes out is JSON of at most `MAX_RENDERED_BYTES`, of strings that nobody reads as templates again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from signalbox.workflows.errors import MappingError, TemplateProblem
from signalbox.workflows.expressions import expression_of
from signalbox.workflows.filling import Budget, Fill, Literal, Place, compiled_value, one_value
from signalbox.workflows.filters import text_of
from signalbox.workflows.references import DATA, STEPS, Reference

__all__ = [
    "Condition",
    "Mapped",
    "MappingError",
    "TemplateProblem",
    "Text",
    "compile_condition",
    "compile_mapping",
    "compile_text",
    "condition",
    "render",
]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A compiled mapping. `references`: each with its place inside the mapping."""

    references: tuple[tuple[Place, Reference], ...]
    literals: tuple[tuple[Place, Any], ...]
    """The values that hold no expression, with their places."""
    _fill: Fill

    def render(
        self, data: Mapping[str, Any], results: Mapping[str, Any], *, step: str = ""
    ) -> dict[str, Any]:
        """Return the mapping filled in.

        Args:
            data: the data that started the workflow.
            results: step id → what the step answered; steps without a result are absent.
            step: whose mapping it is, for errors.

        Raises:
            MappingError: a value is missing or wrong, or too much comes out.
        """
        value = _guarded(self._fill, data, results, step)
        if not isinstance(value, dict):
            msg = f"an object is needed, got {_kind(value)}"
            raise MappingError(msg, step=step)
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A compiled text with `{{ … }}`."""

    references: tuple[Reference, ...]
    _fill: Fill

    def render(self, data: Mapping[str, Any], results: Mapping[str, Any], *, step: str = "") -> str:
        """Return the text filled in. Raises `MappingError` as a mapping does."""
        return text_of(_guarded(self._fill, data, results, step))


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression that is true or false."""

    references: tuple[Reference, ...]
    text: str
    _fill: Fill

    def holds(self, data: Mapping[str, Any], results: Mapping[str, Any], *, step: str = "") -> bool:
        """Say whether it holds.

        Raises:
            MappingError: a value is missing or wrong, or what comes out is neither true nor false.
        """
        value = _guarded(self._fill, data, results, step)
        if not isinstance(value, bool):
            problem = f"{self.text!r:.80} is {_kind(value)}; a condition is true or false, write a comparison"
            raise MappingError(problem, step=step)
        return value


def render(
    mapping: Mapping[str, Any], data: Mapping[str, Any], results: Mapping[str, Any]
) -> dict[str, Any]:
    """Fill in `mapping`, which is compiled for this one time.

    Raises:
        TemplateProblem: the mapping itself is wrong.
        MappingError: the values do not fill it.
    """
    return compile_mapping(mapping).render(data, results)


def condition(expression: str, data: Mapping[str, Any], results: Mapping[str, Any]) -> bool:
    """Say whether `expression` holds.

    Raises:
        TemplateProblem: the expression itself is wrong.
        MappingError: the values do not bear it.
    """
    return compile_condition(expression).holds(data, results)


def compile_mapping(mapping: Mapping[str, Any]) -> Mapped:
    """Compile `mapping`; its fields are strings.

    Raises:
        TemplateProblem: with the path to what is wrong.
    """
    fill, found = compiled_value(mapping, ())
    references = tuple((place, one) for place, one in found if isinstance(one, Reference))
    literals = tuple((place, one.value) for place, one in found if isinstance(one, Literal))
    return Mapped(references, literals, fill)


def compile_text(text: str) -> Text:
    """Compile a text with `{{ … }}`. Raises `TemplateProblem`."""
    fill, found = compiled_value(text, ())
    return Text(tuple(one for _, one in found if isinstance(one, Reference)), fill)


@lru_cache(maxsize=10_000)
def compile_condition(text: str) -> Condition:
    """Compile an expression that is true or false. Raises `TemplateProblem`."""
    expression = expression_of(text)
    return Condition(expression.references, text, one_value(expression, ()))


def _guarded(fill: Fill, data: Mapping[str, Any], results: Mapping[str, Any], step: str) -> Any:
    try:
        return fill({DATA: data, STEPS: results}, Budget())
    except MappingError as error:
        raise MappingError(error.problem, field=error.field, step=step) from None


def _kind(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"
