"""The review record on `agent_review`: a message a person must decide on, with a deadline.

It is resolved by a `review.resolved` message on `agent_messages` whose data is `{message_id, agent}`; the decision's path is `human`.
A workflow's step that a person must agree to is one as well: its data is `{token, decision}`, and `default` holds after the deadline.
Either may bring `data`, an object that the agent is given in place of what was asked about.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from signalbox.contracts.decision import MAX_ANSWER_CHARS, Candidate
from signalbox.contracts.envelope import REVIEW_RESOLVED, TASK_ESCALATED, Envelope
from signalbox.contracts.record import Identifier, Record, Timestamp

SAID: Final = (
    "model",
    "prompt_digest",
    "answer",
    "confidence",
    "calibration",
    "shortlist",
    "tokens_in",
    "tokens_out",
    "latency_ms",
    "attempts",
    "cached",
)
"""The fields about a model that was asked before a person; a decision has them too."""

_CARRIERS: Final = frozenset({TASK_ESCALATED, REVIEW_RESOLVED})
"""Types whose data has the data that is meant in a field `data`."""


class Review(Record):
    """A parked message. After `deadline` the conversation ends with outcome `none`. Candidates are listed as in a decision.

    Where a model was asked before, what it was asked, said and cost is here as in a decision; of these the person's own
    decision has the tokens only.
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
    definitions_digest: str | None = None
    model: str | None = None
    prompt_digest: str | None = None
    answer: Annotated[str, StringConstraints(max_length=MAX_ANSWER_CHARS)] | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    calibration: str | None = None
    shortlist: tuple[str, ...] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: int = 0
    attempts: int = 0
    cached: bool = False
    workflow: str | None = None
    step: str | None = None
    token: str | None = None
    default: Literal["approve", "reject"] | None = None


class UnusableEditError(ValueError):
    """What a person sent as edited data cannot be given to an agent; says why and what would do."""


def edited_data(resolution: Envelope, *, is_given: bool) -> dict[str, Any] | None:
    """Return the data that a `review.resolved` message brings in place of what was asked about; None where it brings none.

    Args:
        resolution: the message.
        is_given: its answer gives the data to an agent; NONE and a rejection give it to nobody.

    Raises:
        UnusableEditError: it is no object, or nobody would be given it.
    """
    if "data" not in resolution.data:
        return None
    data = resolution.data["data"]
    if not isinstance(data, dict):
        msg = f"data.data is {type(data).__name__}; edited data must be an object, as the message's is"
        raise UnusableEditError(msg)
    if not is_given:
        msg = "data.data has edited data, and the answer gives it to nobody: leave it out, or choose who gets it"
        raise UnusableEditError(msg)
    return data


def data_given(message: Envelope) -> dict[str, Any]:
    """Return the data an agent would be given of `message`: an escalation has its task's own in it, a person's answer the edited."""
    inner = message.data.get("data") if message.type in _CARRIERS else None
    return inner if isinstance(inner, dict) else message.data


def resolver_of(resolution: Envelope) -> str:
    """Return who a `review.resolved` message says has decided, else where it came from; at most 200 characters."""
    return resolution.named_by("resolved_by")
