"""The review record on `agent_review`: a message a person must decide on, with a deadline.

It is resolved by a `review.resolved` message on `agent_messages` whose data is `{message_id, agent}`; the decision's path is `human`.
A workflow's step that a person must agree to is one as well: its data is `{token, decision}`, and `default` holds after the deadline.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from signalbox.contracts.decision import Candidate
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import Identifier, Record, Timestamp


class Review(Record):
    """A parked message. After `deadline` the conversation ends with outcome `none`. Candidates are listed as in a decision.

    Of a workflow's step `message` has the data that its agent would be given, `token` names the approval, and after `deadline`
    `default` is the answer.
    """

    conversation_id: Identifier
    message: Envelope
    candidates: tuple[Candidate, ...] = ()
    accepted_total: Annotated[int, Field(ge=0)] | None = None
    rejected_total: Annotated[int, Field(ge=0)] | None = None
    reason: Annotated[str, StringConstraints(max_length=1000)]
    deadline: Timestamp
    opened_at: Timestamp
    workflow: str | None = None
    step: str | None = None
    token: str | None = None
    default: Literal["approve", "reject"] | None = None


def resolver_of(resolution: Envelope) -> str:
    """Return who a `review.resolved` message says has decided, else where it came from; at most 200 characters."""
    return resolution.named_by("resolved_by")
