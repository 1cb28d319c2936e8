"""What `GET /flow-health` answers with, as models: the OpenAPI document is made of them."""

from __future__ import annotations

from signalbox.contracts.record import Timestamp
from signalbox.flow.kinds import Code
from signalbox.gateway.shapes import Answer


class SeenView(Answer):
    """How many there are, one of them, and for how long the oldest is waiting in ms, where that means something."""

    number: int
    example: str | None
    oldest_ms: int | None


class HopsView(Answer):
    """How long messages waited for their tasks, in ms."""

    number: int
    p50_ms: int
    p95_ms: int


class FlowWindowView(Answer):
    """The numbers of a window. `overdue` and `silent` are by agent, `left_out` conversations that were not looked into."""

    messages: int
    paths: dict[str, int]
    none: int
    left_out: int
    undecided: SeenView
    questions: SeenView
    late_questions: SeenView
    hops: HopsView
    hops_before: HopsView
    outcomes: dict[str, SeenView]
    dead_letters: dict[str, SeenView]
    overdue: dict[str, SeenView]
    silent: dict[str, SeenView]


class FindingView(Answer):
    """Something that is the matter: what it costs, and the next step. docs/flow-health.md lists the codes."""

    code: Code
    what: str
    value: float
    limit: float
    points: int
    remedy: str
    example: str | None


class FlowHealthView(Answer):
    """How healthy a window is. `idle`: nothing happened in it."""

    begin: Timestamp
    end: Timestamp
    score: int
    idle: bool
    findings: list[FindingView]
    window: FlowWindowView
