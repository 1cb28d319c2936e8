"""The slots of a workflow's records, taken apart: `step:pay`, `step:pay:2`, `compensate:pay:failed`.

Kinds and endings that are not known here are kept as they are: a reader of records must bear what a newer engine writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

STEP: Final = "step"
VALIDATE: Final = "validate"
APPROVE: Final = "approve"
COMPENSATE: Final = "compensate"
PLAN: Final = "plan"

FAILED: Final = "failed"

_SLOT: Final = re.compile(r"([a-z][a-z_]*):([a-z][a-z0-9_]*)(?::(.+))?")


@dataclass(frozen=True, slots=True)
class Slot:
    """What a record is about. `number` counts what was given out, from 1; `ending` is empty where the record is of a task."""

    text: str
    kind: str
    step: str
    number: int = 1
    ending: str = ""


def slot_of(text: str) -> Slot | None:
    """Take a slot apart; None where it is not about a step."""
    found = _SLOT.fullmatch(text)
    if found is None:
        return None
    kind, step, rest = found.groups()
    if rest is None:
        return Slot(text, kind, step)
    if rest.isdecimal():
        return Slot(text, kind, step, number=int(rest))
    return Slot(text, kind, step, ending=rest)
