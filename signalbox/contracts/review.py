"""The review record on `agent_review`: a message a person must decide on, with a deadline.

It is resolved by a `review.resolved` message on `agent_messages` whose data is `{message_id, agent}`; the decision's path is `human`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from signalbox.contracts.decision import Candidate
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import Identifier, Record, Timestamp


class Review(Record):
    """A parked message. After `deadline` the conversation ends with outcome `none`. Candidates are listed as in a decision."""

    conversation_id: Identifier
    message: Envelope
    candidates: tuple[Candidate, ...] = ()
    accepted_total: Annotated[int, Field(ge=0)] | None = None
    rejected_total: Annotated[int, Field(ge=0)] | None = None
    reason: Annotated[str, StringConstraints(max_length=1000)]
    deadline: Timestamp
    opened_at: Timestamp
