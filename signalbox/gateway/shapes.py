"""What the gateway answers with and takes, as models: the OpenAPI document is made of them. Records are as on their topics."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from signalbox.contracts.dead_letter import DeadLetter, DeadLetterReason
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome, OutcomeStatus
from signalbox.contracts.record import NAME_PATTERN, Timestamp
from signalbox.contracts.review import Review

Status = OutcomeStatus | Literal["open"]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(max_length=2000)]


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """What is asked; a field that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Problem(Answer):
    """RFC 9457. `code` is in docs/errors.md, `remedy` the next step; `reason` the job's dead-letter reason, where it has one."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    reason: str | None = None


class Health(Answer):
    """Whether messages are taken."""

    broker: Literal["up", "away"]


class Published(Answer):
    """A message that the broker has."""

    id: str
    conversation_id: str
    status: Literal["published"] = "published"


class ConversationRow(Answer):
    """One conversation in a list. `type` is that of its first message; counts are of records on the topics."""

    conversation_id: str
    type: str | None
    status: Status
    last_agent: str | None
    started_at: Timestamp
    last_at: Timestamp
    ended_at: Timestamp | None
    messages: int
    decisions: int
    reviews: int
    dead_letters: int


class ConversationList(Answer):
    """A page of conversations, the one that was spoken in last first. `next` is `before` of the next page."""

    conversations: list[ConversationRow]
    next: str | None


class Conversation(Answer):
    """All that is known of one. `outcome` is the newest, `timeline` what `signalbox trace --json` says of each message."""

    conversation_id: str
    status: Status
    messages: list[Envelope]
    decisions: list[Decision]
    outcome: Outcome | None
    outcomes: list[Outcome]
    reviews: list[Review]
    dead_letters: list[DeadLetter]
    timeline: list[dict[str, Any]]
    workflow: dict[str, Any] | None
    earlier_workflows: list[dict[str, Any]] = []


class Explanation(Answer):
    """Why a message went where it went, as `signalbox explain --json` says it."""

    message_id: str
    message: Envelope | None
    decisions: list[Decision]
    reviews: list[Review]
    dead_letters: list[DeadLetter]
    details: list[dict[str, Any]]


class Instance(Answer):
    """One process of an agent, by its newest heartbeat."""

    instance: str
    is_alive: bool
    active: int
    max_concurrent: int
    handled: int
    failed: int
    digest: str
    draining: bool
    paused: bool
    last_heartbeat: Timestamp


class AgentRow(Answer):
    """One agent. `state`: `active`, or `draining` once it was removed and still runs. `instances` are those alive.

    `is_paused`: it rests until an event says otherwise (`pause_on`).
    """

    name: str
    fleet: str
    state: Literal["active", "draining"]
    digest: str
    description: str | None
    accepts: list[str]
    answers_with: str | None
    handoffs: list[str] | None
    instances: int
    active_tasks: int
    is_silent: bool
    is_paused: bool


class AgentList(Answer):
    """The active set, and agents that were removed and still work off their tasks."""

    definitions: str
    agents: list[AgentRow]


class TrackRecordView(Answer):
    """How an agent has done its tasks."""

    agent: str
    answers: int
    failed: int
    p50_ms: int
    p99_ms: int
    reliability: float


class AgentStatusView(AgentRow):
    """One agent as it is now. `lag` is how many tasks it has not taken to an end, null where the broker does not say.

    `error_rate` is the share of failures among what it answered in the last hour, null where that is nothing.
    """

    processes: list[Instance]
    max_concurrent: int
    lag: int | None
    open_tasks: int
    last_heartbeat: Timestamp | None
    error_rate: float | None
    track_record: TrackRecordView | None
    input: dict[str, Any] | None
    definition: dict[str, Any] | None


class Registered(Answer):
    """What registering a definition changed."""

    name: str
    fleet: str
    digest: str
    definitions: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    warnings: list[str]


class Question(Asked):
    """A prompt for whoever plans and answers, or any message: its `type` and `data`. The answer is waited for."""

    prompt: Annotated[str, StringConstraints(max_length=100_000)] | None = None
    image: Annotated[str, StringConstraints(max_length=256 * 1024)] | None = Field(
        None, description="A picture as a data URI; with `prompt` only."
    )
    type: Annotated[str, StringConstraints(max_length=128)] | None = None
    data: dict[str, Any] | None = None
    id: Annotated[str, StringConstraints(max_length=256)] | None = None
    conversation: Annotated[str, StringConstraints(max_length=256)] | None = None
    timeout_seconds: Annotated[float, Field(ge=0.1, le=300)] = 60.0


class Answered(Answer):
    """How it ended. `answer` is the text of a prompt, the workflow's result, else what the last agent said."""

    id: str
    conversation_id: str
    status: OutcomeStatus
    answer: Any
    seconds: float
    tokens: int
    outcome: Outcome
    plan: list[dict[str, Any]]


class ReviewItem(Answer):
    """Something that waits for a person; it is answered under `name`."""

    name: str
    kind: Literal["step", "message"]
    conversation: str
    message: str
    workflow: str | None
    step: str | None
    token: str | None
    reason: str
    opened_at: datetime
    deadline: datetime
    default: str
    candidates: list[dict[str, Any]] | None
    data: dict[str, Any]


class ReviewList(Answer):
    """What waits for a person, the oldest first."""

    reviews: list[ReviewItem]


class Decided(Asked):
    """A person's answer. `agent` is who gets a message; of a workflow's step it is left out.

    `data` is what the agent is given in place of what was asked about; with a rejection nobody would be.
    """

    decision: Literal["approve", "reject"]
    agent: Annotated[str, StringConstraints(pattern=NAME_PATTERN)] | None = None
    data: dict[str, Any] | None = None
    comment: Text | None = None
    resolved_by: Word | None = None


class DeadLetterRow(Answer):
    """A dead letter without its value. `place` is `partition:offset` of its topic."""

    place: str
    state: Literal["open", "replayed", "discarded"]
    reason: DeadLetterReason
    detail: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    key: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    truncated: bool
    sha256: str
    attempts: int
    failed_at: Timestamp


class DeadLetterList(Answer):
    """A page of dead letters, the newest first, and how many there are of each reason."""

    dead_letters: list[DeadLetterRow]
    by_reason: dict[str, int]
    next: str | None


class DeadLetterView(DeadLetterRow):
    """One dead letter: its value as text or base64, and decoded where it is JSON."""

    value: str | None = None
    value_base64: str | None = None
    decoded: Any = None
    discarded: dict[str, Any] | None = None


class Replay(Asked):
    """A replay. With `message` these attributes replace the original's; the dead letter keeps the original."""

    message: dict[str, Any] | None = None


class ReplayAll(Asked):
    """Replay all of a reason that were not replayed or discarded, the oldest first, at most `limit`."""

    reason: DeadLetterReason
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class ReplayedOne(Answer):
    """One message that was sent again."""

    original: str | None
    id: str
    conversation: str


class SkippedOne(Answer):
    """One dead letter that was left out, and why."""

    place: str
    why: str


class Replayed(Answer):
    """What was sent again and what was left out."""

    replayed: list[ReplayedOne]
    skipped: list[SkippedOne]


class Discard(Asked):
    """A dead letter that nobody will send again, and why."""

    note: Text = ""
    discarded_by: Word | None = None
