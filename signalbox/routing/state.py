"""The state of one conversation: one small versioned blob, read and written whole. Payloads are not in it, only their numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from typing import Any, Final, Literal, Self

import orjson

from signalbox.evolving import Evolving
from signalbox.routing.kept import Detour, KeptTask
from signalbox.workflows.run import WorkflowRun

STATE_VERSION: Final = 5
SEEN_BYTES: Final = 8

Phase = Literal["deciding", "parked"]


@dataclass(frozen=True, slots=True)
class OpenDispatch:
    """A task that was sent and not answered yet. The only proof that a reply is agent X's."""

    agent: str
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person decided for the parked message: an agent or NONE, what they say of it, and the data in place of its own.

    `message_id` is the `review.resolved` that said so. It is carried out in the turn that takes it, so `data` rests in no state
    unless the parked message is missing there.
    """

    agent: str
    resolved_by: str
    comment: str = ""
    data: dict[str, Any] | None = None
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The one message of the conversation that is being decided (or waits for a person) and how far it is."""

    sequence: int
    message_id: str
    sender: str | None
    phase: Phase
    definitions: str
    attempt: int = 1
    is_repaired: bool = False
    not_before_ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    review_deadline_ms: int = 0
    resolution: Resolution | None = None

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A later message whose turn comes when the one in flight is done. `sender` is an agent proven by state, or None."""

    sequence: int
    sender: str | None


@dataclass(frozen=True)
class Conversation(Evolving):
    """Everything remembered of one conversation.

    `seen` holds 8-byte hashes of admitted ids, one after the other. `verdict` is what the next outcome will say;
    it is written once nothing is open, waiting or in flight, and no workflow runs. `heard` counts the answers of agents that a
    subscriber was given in this episode. `kept` has what is remembered of an open task besides, `detours` the messages (by id) that
    are decided without somebody.
    """

    id: str
    episode: int = 0
    is_open: bool = False
    fleet: str | None = None
    hops: int = 0
    tokens: int = 0
    started_at_ms: int = 0
    deadline_ms: int = 0
    last_agent: str | None = None
    last_step: str | None = None
    verdict: str | None = None
    verdict_detail: str = ""
    next_sequence: int = 0
    in_flight: InFlight | None = None
    waiting: tuple[Waiting, ...] = ()
    open: Mapping[str, OpenDispatch] = field(default_factory=dict)
    workflow: WorkflowRun | None = None
    heard: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, KeptTask] = field(default_factory=dict)
    detours: Mapping[str, Detour] = field(default_factory=dict)
    seen: bytes = b""

    def next_deadline_ms(self) -> int | None:
        """The next moment at which TimePassed matters, in ms since 1970; None when nothing is due."""
        if not self.is_open:
            return None
        due = [self.deadline_ms, *(dispatch.deadline_ms for dispatch in self.open.values())]
        if self.in_flight is not None and self.in_flight.review_deadline_ms:
            due.append(self.in_flight.review_deadline_ms)
        run_due_ms = None if self.workflow is None else self.workflow.next_due_ms()
        if run_due_ms is not None:
            due.append(run_due_ms)
        if self.kept:
            due.extend(kept.due_ms for kept in self.kept.values() if kept.due_ms)
        return min(due)

    def is_notice(self, task_id: str) -> bool:
        """Say whether an open task only tells its agent of something."""
        kept = self.kept.get(task_id)
        return kept is not None and kept.is_notice

    def postponed(self, by_ms: int) -> Self:
        """Return a copy whose every deadline is `by_ms` later: time in which nobody could work is not spent."""
        in_flight = self.in_flight
        if in_flight is not None and in_flight.review_deadline_ms:
            in_flight = in_flight.evolve(review_deadline_ms=in_flight.review_deadline_ms + by_ms)
        return self.evolve(
            deadline_ms=self.deadline_ms + by_ms,
            in_flight=in_flight,
            open={
                task_id: OpenDispatch(dispatch.agent, dispatch.deadline_ms + by_ms)
                for task_id, dispatch in self.open.items()
            },
            workflow=None if self.workflow is None else self.workflow.postponed(by_ms),
            kept={
                task_id: kept.evolve(due_ms=kept.due_ms + by_ms) if kept.due_ms else kept
                for task_id, kept in self.kept.items()
            },
        )

    def has_seen(self, hashed: bytes) -> bool:
        """Say whether an id with this 8-byte hash was admitted before."""
        at = self.seen.find(hashed)
        while at != -1 and at % SEEN_BYTES:
            at = self.seen.find(hashed, at + 1)
        return at != -1

    def encode(self) -> bytes:
        """Write the state as the blob that keyed state holds: a line of JSON, then `seen` as it is.

        It is written once a message, so a conversation of 100,000 messages must not pay for its ids more than a copy.
        """
        head = orjson.dumps(
            {
                "v": STATE_VERSION,
                **{name: getattr(self, name) for name in _SCALARS},
                "in_flight": self.in_flight,
                "waiting": self.waiting,
                "open": self.open,
                **({} if self.workflow is None else {"workflow": self.workflow.encoded()}),
                **({"heard": self.heard} if self.heard else {}),
                **({"kept": _encoded(self.kept)} if self.kept else {}),
                **({"detours": self.detours} if self.detours else {}),
            }
        )
        return b"\n".join((head, self.seen))

    @staticmethod
    def decode(blob: bytes) -> Conversation:
        """Read a blob that `encode` wrote, of this version or an older one.

        Raises:
            ValueError: the blob is of a newer version; restore with the code that wrote it.
        """
        head, _, seen = blob.partition(b"\n")
        fields = orjson.loads(head)
        if fields["v"] > STATE_VERSION:
            msg = f"conversation state has version {fields['v']}, this code reads up to {STATE_VERSION}; upgrade the job"
            raise ValueError(msg)
        in_flight = fields["in_flight"]
        run = fields.get("workflow")  # version 2 had none
        return _BLANK.evolve(
            **{name: fields[name] for name in _SCALARS},
            in_flight=None if in_flight is None else _in_flight(in_flight),
            waiting=tuple(Waiting(**waiting) for waiting in fields["waiting"]),
            open={
                task_id: OpenDispatch(**dispatch) for task_id, dispatch in fields["open"].items()
            },
            workflow=None if run is None else WorkflowRun.decoded(run),
            heard=fields.get("heard", {}),
            kept={task_id: KeptTask(**one) for task_id, one in fields.get("kept", {}).items()},
            detours={
                message_id: Detour(**one) for message_id, one in fields.get("detours", {}).items()
            },
            seen=base64.b64decode(fields["seen"])
            if "seen" in fields
            else seen,  # version 1 had it inside
        )


_BLANK: Final = Conversation("")
"""What a blob is read into: setting twenty fields of a frozen value one by one takes as long as reading them."""


def _in_flight(fields: dict[str, Any]) -> InFlight:
    resolution = fields.pop("resolution")
    return InFlight(**fields, resolution=None if resolution is None else Resolution(**resolution))


def _encoded(kept: Mapping[str, KeptTask]) -> dict[str, dict[str, Any]]:
    return {task_id: one.encoded() for task_id, one in kept.items()}


_SCALARS: Final = tuple(
    slot.name
    for slot in fields_of(Conversation)
    if slot.name
    not in {"in_flight", "waiting", "open", "workflow", "heard", "kept", "detours", "seen"}
)
