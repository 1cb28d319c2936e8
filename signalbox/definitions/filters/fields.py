"""What a composite filter may name: an attribute of the envelope, or a place in the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalbox.definitions.filters.view import ATTRIBUTES, MessageView

MISSING: Final = object()
"""What a field holds that is not there. Null is there."""
DATA_PREFIX: Final = "data."


@dataclass(frozen=True, slots=True)
class Field:
    """`priority`, or `data.order.items.0.price`; `parts` is empty for an attribute."""

    text: str
    parts: tuple[str, ...]

    def read(self, view: MessageView) -> Any:
        """Return its value, MISSING where there is none."""
        if not self.parts:
            value = view.attribute(self.text)
            return MISSING if value is None else value
        found: Any = view.data
        for part in self.parts:
            if isinstance(found, Mapping):
                found = found.get(part, MISSING)
            elif isinstance(found, list) and part.isascii() and part.isdigit():
                found = found[int(part)] if int(part) < len(found) else MISSING
            else:
                return MISSING
        return found


def field_of(text: str) -> Field:
    """Read a field's name.

    Raises:
        ValueError: there is no such field.
    """
    if text in ATTRIBUTES:
        return Field(text, ())
    parts = tuple(text.removeprefix(DATA_PREFIX).split("."))
    if not text.startswith(DATA_PREFIX) or not all(parts) or "*" in text:
        msg = f"{text!r} is no field; what is in the data is written data.{text.rsplit('.', maxsplit=1)[-1]}"
        raise ValueError(msg)
    return Field(text, parts)
