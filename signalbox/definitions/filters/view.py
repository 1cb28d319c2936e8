"""One message as filters see it: its attributes, its data, its data as text; and how much work they may still cause.

The work is counted in steps, not in time: a decision is the same on a busy machine. All filters of a message share one budget.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import orjson

from signalbox.contracts.envelope import Envelope

MAX_STEPS: Final = 1_000_000
"""Of all filters of one message: a few seconds of work at the very worst, for data that was made to cause it."""
CHARS_PER_STEP: Final = 1024
ATTRIBUTES: Final = ("id", "priority", "replystatus", "source", "subject", "type")
"""What of the envelope a filter may ask for."""


class FilterFailureError(ValueError):
    """A filter could not be answered: it is no match, and it is counted."""


class MessageView:
    """What filters are asked of. Local to the evaluation of one message, never shared between threads."""

    def __init__(self, message: Envelope, max_steps: int = MAX_STEPS) -> None:
        self.type = message.type
        self.data: dict[str, Any] = message.data
        self._message = message
        self._steps_left = max_steps

    def attribute(self, name: str) -> Any:
        """Return an attribute of the envelope, one of `ATTRIBUTES`; None where it is absent."""
        return getattr(self._message, name)

    @property
    def steps_left(self) -> int:
        """How much work the filters of this message may still cause."""
        return self._steps_left

    def spend(self, steps: int) -> None:
        """Note work that is about to be done.

        Raises:
            FilterFailureError: the message's budget is used up.
        """
        self._steps_left -= steps
        if self._steps_left < 0:
            msg = "the filters of this message need more work than one message may cause"
            raise FilterFailureError(msg)

    def read_text(self) -> str:
        """Return the data as compact JSON, keys in the order in which they came.

        Raises:
            FilterFailureError: the message's budget is used up.
        """
        self.spend(1 + len(self._text) // CHARS_PER_STEP)
        return self._text

    def read_folded_text(self) -> str:
        """Return the data as `read_text` does, case folded."""
        self.spend(1 + len(self._text) // CHARS_PER_STEP)
        return self._folded_text

    @cached_property
    def _text(self) -> str:
        # PyFlink and clients may hand over lone surrogates, which JSON cannot carry: they match nothing.
        try:
            return orjson.dumps(self.data).decode()
        except TypeError as error:
            msg = f"the data cannot be written as JSON: {error}"
            raise FilterFailureError(msg) from None

    @cached_property
    def _folded_text(self) -> str:
        return self._text.casefold()
