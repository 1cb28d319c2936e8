"""What an agent listens to besides what is routed to it, and which events pause and resume it: fields of its definition."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from signalbox.definitions.filters.event_types import TypePattern
from signalbox.definitions.filters.specs import MAX_FILTERS, FilterSpec, compile_filters

Role = Literal["candidate", "subscriber", "listener"]
"""`candidate`: messages are routed to it as well. `subscriber`: it gets what it subscribes to, and what names it as target.
`listener`: a subscriber whose answers end there, and change nothing about how a conversation ends."""


class SubscribeSpec(BaseModel):
    """`subscribe:` in a definition. All filters must hold; without any every message is heard.

    `priority`: of the tasks, instead of the message's own. `max_concurrent`: how many tasks at once, within the agent's limits; a
    candidate's limits alone say that, since its tasks come by routing as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: tuple[FilterSpec, ...] = Field((), max_length=MAX_FILTERS)
    role: Role = "candidate"
    priority: int | None = Field(None, ge=1, le=10)
    max_concurrent: int | None = Field(None, ge=1, le=1000)

    @model_validator(mode="after")
    def _has_one_limit(self) -> SubscribeSpec:
        if self.role == "candidate" and self.max_concurrent is not None:
            msg = "max_concurrent of a candidate's subscription: set limits.max_concurrent, or the role to subscriber"
            raise ValueError(msg)
        return self

    @property
    def types(self) -> frozenset[TypePattern] | None:
        """The patterns outside which nothing is heard; None where the filters do not say, or let everything through."""
        return compile_filters(self.filters).types
