"""What pydantic found wrong with a definition, in words a person can act on: what was given, what is right.

The fields that a place has are looked up in the models, so a misspelt one is answered with the one that was meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from signalbox.contracts.record import NAME_PATTERN
from signalbox.definitions.specs import EVENT_TYPE_PATTERN

_SHOWN_CHARS: Final = 80
_SHOWN_FIELDS: Final = 12
_KINDS: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
    NoneType: "nothing",
}
_MAPPING_WANTED: Final = frozenset({"model_type", "model_attributes_type", "dict_type"})
_LIST_WANTED: Final = frozenset({"list_type", "tuple_type"})


def kind_of(value: object) -> str:
    """Return what a value from a YAML file is, as a person would call it, like `a list` or `nothing`."""
    return next((told for kind, told in _KINDS.items() if isinstance(value, kind)), "a value")


def explain(error: Any, model: type[BaseModel]) -> tuple[str, str]:
    """Return the problem and the remedy of one of pydantic's errors, found when `model` was validated."""
    kind, loc = error["type"], error["loc"]
    where = ".".join(str(part) for part in loc) or "the file"
    if kind == "missing":
        return f"{where} is missing", f"add `{loc[-1]}:`"
    if kind == "extra_forbidden":
        return f"{where} is not a field of a definition", _meant(loc, model)
    if kind in _MAPPING_WANTED:
        return f"{where}: a mapping is needed, got {kind_of(error['input'])}", _fields_told(
            _fields_at(model, loc)
        )
    if kind in _LIST_WANTED:
        leave = ", or leave the key out" if error["input"] is None else ""
        hint = f"write `[…]`, or lines that begin with `- `{leave}"
        return f"{where}: a list is needed, got {kind_of(error['input'])}", hint
    value = repr(error.get("input"))
    shown = value if len(value) <= _SHOWN_CHARS else f"{value[: _SHOWN_CHARS - 3]}…"
    message = str(error["msg"]).removeprefix("Value error, ")
    if kind == "string_too_long":
        shown += f" ({len(error['input'])} characters)"
    if kind == "string_pattern_mismatch":
        message = _form_told(error["ctx"]["pattern"], str(error["input"])) or message
    return f"{where}: got {shown}", message


def _form_told(pattern: str, given: str) -> str | None:
    if pattern == NAME_PATTERN:
        return f"a name has small letters, digits and _, a letter first, at most 63; like {_as_name(given)}"
    if pattern == EVENT_TYPE_PATTERN:
        return "a type has two or more parts of small letters, digits and _, joined by dots; like lead.scored"
    return None


def _as_name(given: str) -> str:
    """Return the nearest right name to what was given, or an example of one."""
    found = re.sub(r"[^a-z0-9]+", "_", given.lower()).strip("_")[:63]
    return found if re.fullmatch(NAME_PATTERN, found) else "lead_scoring"


def _meant(loc: Sequence[str | int], model: type[BaseModel]) -> str:
    known = _fields_at(model, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"remove it; {_fields_told(known)}" if known else "check the spelling, or remove it"


def _fields_told(known: Sequence[str]) -> str:
    if not known:
        return "write `key: value` pairs there"
    more = ", …" if len(known) > _SHOWN_FIELDS else ""
    return f"its fields are {', '.join(known[:_SHOWN_FIELDS])}{more}"


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the names of the fields at a place below `model`, as they are written; none where it cannot be told."""
    here: Any = model
    for part in loc:
        here = _inner(here, part)
    found = _model_in(here)
    if found is None:
        return []
    return [str(field.alias or name) for name, field in found.model_fields.items()]


def _inner(annotation: Any, part: str | int) -> Any:
    model = _model_in(annotation)
    if model is None:
        return None
    if isinstance(part, int):
        return model  # of the items of a list: `_model_in` has looked into it already
    fields = model.model_fields.items()
    return next((one.annotation for name, one in fields if part in {name, one.alias}), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation is, or is a list, a mapping or an alternative of, where it is one only."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in {Annotated, Union, UnionType, tuple, list, dict}:
        models = [one for one in map(_model_in, get_args(annotation)) if one is not None]
        return models[0] if len(models) == 1 else None
    return None
