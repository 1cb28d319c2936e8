"""The envelope: CloudEvents 1.0, structured JSON in the Kafka value, key = conversation id.

Comes in on `agent_messages` and the agents' task topics. Unknown attributes are kept (CloudEvents 1.0.2 §3.1, extensions).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from signalbox.contracts.record import Identifier, Record, Timestamp

ORCHESTRATOR: Final = "orchestrator"
AGENT_SOURCE_PREFIX: Final = "agent/"

# The types the engine itself gives meaning to. Everything else is a fleet's own vocabulary.
TASK_ASSIGNED: Final = "task.assigned"  # orchestrator → agent
# agent → orchestrator: the handler gave up; data = {reason, detail, attempts, permanent}
TASK_FAILED: Final = "task.failed"
TASK_STATUS: Final = (
    "task.status"  # agent → orchestrator: still working; extends the task's deadline
)
TASK_ESCALATED: Final = (
    "task.escalated"  # agent → orchestrator: a person must decide; data = {reason}
)
REVIEW_RESOLVED: Final = (
    "review.resolved"  # person → orchestrator: data = {message_id, agent|"NONE", resolved_by?}
)
WORKFLOW_CANCEL: Final = (
    "workflow.cancel"  # outside → orchestrator: data = {reason?, cancelled_by?, started_by?}
)

PRIORITY_WORDS: Final = {"urgent": 1, "high": 2, "medium": 5, "normal": 5, "low": 8}


def _priority_from_word(value: object) -> object:
    return PRIORITY_WORDS.get(value.lower(), value) if isinstance(value, str) else value


Source = Annotated[
    str,
    StringConstraints(
        pattern=r"^(gateway|cli|orchestrator|(connector|agent)/[A-Za-z0-9][A-Za-z0-9_.-]{0,62})$"
    ),
]


class Envelope(Record):
    """One message. `subject` is the conversation; `hop` and `definitions` mean something only on tasks."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: Identifier
    source: Source
    type: Annotated[
        str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$", max_length=128)
    ]
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    subject: Identifier
    correlationid: Identifier | None = None
    causationid: Identifier | None = None
    traceparent: (
        Annotated[
            str, StringConstraints(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
        ]
        | None
    ) = None
    priority: Annotated[int, BeforeValidator(_priority_from_word), Field(ge=1, le=10)] = 5
    target: Annotated[str, StringConstraints(max_length=1024)] | None = None
    tokensused: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    hop: Annotated[int, Field(ge=0)] | None = None
    definitions: Annotated[str, StringConstraints(max_length=128)] | None = None
    deadline: Timestamp | None = None
    replystatus: Literal["success", "partial"] | None = None
    processingms: Annotated[int, Field(ge=0)] | None = None
    data: dict[str, Any]

    @field_validator("target", mode="after")
    @classmethod
    def _blank_target_is_none(cls, value: str | None) -> str | None:
        return value if value and value.strip() else None

    @property
    def claimed_agent(self) -> str | None:
        """The agent that `source` claims to be. A claim: only an open dispatch makes it true."""
        return (
            self.source.removeprefix(AGENT_SOURCE_PREFIX)
            if self.source.startswith(AGENT_SOURCE_PREFIX)
            else None
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """The agents named by `target`, in order, blanks dropped."""
        return tuple(part.strip() for part in (self.target or "").split(",") if part.strip())

    def named_by(self, field: str) -> str:
        """Who `data` says is behind this message, in the text `field`, else its source; at most 200 characters."""
        said = self.data.get(field)
        return (said if isinstance(said, str) and said else self.source)[:200]

    def headers(self) -> dict[str, bytes]:
        """The Kafka headers that repeat `ce_id`, `ce_type` and `traceparent` for other tools."""
        headers = {"ce_id": self.id.encode(), "ce_type": self.type.encode()}
        if self.traceparent:
            headers["traceparent"] = self.traceparent.encode()
        return headers

    def evolve(self, **changes: Any) -> Self:
        """Return a validated copy with `changes`; unknown attributes stay."""
        return type(self).model_validate({**self.model_dump(), **changes})
