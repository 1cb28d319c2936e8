"""The record on `dead_letter_marks`: a person says that a dead letter is done with. The dead letter itself stays where it is.

The topic is compacted: the newest record of a place is what holds. The Kafka key is the place.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from signalbox.contracts.record import Record, Timestamp


class DeadLetterMark(Record):
    """What became of the dead letter at `place`, `partition:offset` of `agent_messages_dlq`, by whom and why."""

    place: Annotated[str, StringConstraints(pattern=r"^\d{1,9}:\d{1,18}$")]
    status: Literal["discarded"]
    note: Annotated[str, StringConstraints(max_length=2000)] = ""
    by: Annotated[str, StringConstraints(max_length=300)]
    at: Timestamp
