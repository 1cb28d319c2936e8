"""A filter as it stands in a definition: one question, and what it may be joined or turned round by."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from signalbox.definitions.filters.checks import Check, all_of
from signalbox.definitions.filters.compiled import compile_one

MAX_FILTERS: Final = 100
"""Of one list, and of all levels of one filter together."""
KINDS: Final = ("event_type", "content", "json_path", "regex", "where", "all", "any", "not")

_Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
_Scalar = str | int | float | bool | None


class FilterSpec(BaseModel):
    """Exactly one of the kinds, and flags.

    `event_type`: a type, `market.*`, or an fnmatch pattern; or a list of such. `content`: a substring of the data as JSON text.
    `json_path`: RFC 9535 over the data, true where it selects something; with `one_of` where it selects one of these values, with
    `regex` where it selects a text in which that is found. `regex` alone: found in the data as JSON text. `where`: the text form
    of a composite. `all`, `any`, `not`: composites of filters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    event_type: _Text | tuple[_Text, ...] | None = None
    content: _Text | None = None
    json_path: _Text | None = None
    one_of: Annotated[tuple[_Scalar, ...], Field(min_length=1, max_length=1_000)] | None = None
    regex: _Text | None = None
    where: _Text | None = None
    all_: FilterList | None = Field(None, alias="all")
    any_: FilterList | None = Field(None, alias="any")
    not_: FilterSpec | None = Field(None, alias="not")
    case_sensitive: bool = False
    negate: bool = False

    @model_validator(mode="after")
    def _is_one_question(self) -> FilterSpec:
        kind = self.kind  # says what is wrong with the fields
        if self.size > MAX_FILTERS:
            msg = f"a filter of {self.size} filters; at most {MAX_FILTERS}, use `one_of` or `regex` for long lists"
            raise ValueError(msg)
        if kind == "event_type" and not self.types:
            msg = "event_type names no type; write `market.tick` or `market.*`"
            raise ValueError(msg)
        compile_one(self)
        return self

    @property
    def kind(self) -> str:
        """Which kind it is.

        Raises:
            ValueError: it is none, or several.
        """
        given = [name for name in KINDS if self._given(name)]
        if given == ["json_path", "regex"]:
            given = ["json_path"]
        if len(given) != 1:
            msg = f"exactly one of {', '.join(KINDS)} is needed (regex may stand beside json_path), got {given or 'none'}"
            raise ValueError(msg)
        if self.one_of is not None and (given != ["json_path"] or self.regex is not None):
            msg = "one_of stands beside json_path alone: it says which of the selected values count"
            raise ValueError(msg)
        return given[0]

    def _given(self, name: str) -> bool:
        return getattr(self, f"{name}_" if name in {"all", "any", "not"} else name) is not None

    @property
    def types(self) -> tuple[str, ...]:
        """The patterns of `event_type`."""
        given = self.event_type
        return (given,) if isinstance(given, str) else given or ()

    @property
    def parts(self) -> tuple[FilterSpec, ...]:
        """The filters that it is a composite of."""
        inner = (*(self.all_ or ()), *(self.any_ or ()))
        return inner if self.not_ is None else (*inner, self.not_)

    @property
    def size(self) -> int:
        """How many filters it is, its parts included."""
        return 1 + sum(part.size for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """What was written, without what was left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


FilterList = Annotated[tuple[FilterSpec, ...], Field(min_length=1, max_length=MAX_FILTERS)]
FilterSpec.model_rebuild()


def compile_filters(filters: tuple[FilterSpec, ...]) -> Check:
    """Compile several filters: all of them must hold; none holds always."""
    return all_of([compile_one(one) for one in filters])
