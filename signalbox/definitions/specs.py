"""An agent definition as pydantic models: the ground truth of the JSON Schema that editors and docs use.

A definition feeds the router prompt, the contracts, the topics, the agent processes, the docs and the pages; nothing is listed twice.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from signalbox.contracts.envelope import (
    REVIEW_RESOLVED,
    TASK_ASSIGNED,
    TASK_ESCALATED,
    TASK_FAILED,
    TASK_STATUS,
    WORKFLOW_CANCEL,
)
from signalbox.contracts.events import EVENT_TYPES
from signalbox.contracts.ids import data_digest
from signalbox.contracts.record import Name
from signalbox.definitions.contract import Contract, check_schema, contract_of
from signalbox.definitions.filters.specs import FilterList
from signalbox.definitions.subscription import SubscribeSpec

RESERVED_TYPES: Final = EVENT_TYPES | {
    TASK_ASSIGNED,
    TASK_FAILED,
    TASK_STATUS,
    TASK_ESCALATED,
    REVIEW_RESOLVED,
    WORKFLOW_CANCEL,
}
RESERVED_NAMES: Final = frozenset({"none", "orchestrator", "gateway", "cli", "connector"})

EVENT_TYPE_PATTERN: Final = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$"
EventType = Annotated[str, StringConstraints(pattern=EVENT_TYPE_PATTERN, max_length=128)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
_PYTHON_REF: Final = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _check_python_ref(value: str) -> str:
    if not _PYTHON_REF.match(value):
        msg = f"{value!r} is not a function reference; write 'package.module:function'"
        raise ValueError(msg)
    return value


PythonRef = Annotated[str, AfterValidator(_check_python_ref)]
"""A function as `package.module:function`."""


class ContractSpec(_Spec):
    """What an agent takes: JSON Schema 2020-12 for `data`, and the sentence a model reads."""

    description: Prose
    json_schema: dict[str, Any] = Field(alias="schema")

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_schema(value)
        return value

    @cached_property
    def contract(self) -> Contract:
        """The schema compiled, at the first use; equal schemas share one."""
        return contract_of(self.json_schema)


class OutputSpec(ContractSpec):
    """What an agent answers with: the envelope type and the schema of its data."""

    type: EventType

    @field_validator("type")
    @classmethod
    def _is_not_reserved(cls, value: str) -> str:
        if value in RESERVED_TYPES:
            msg = f"{value!r} is a type of the engine; name your own event, like 'lead.scored'"
            raise ValueError(msg)
        return value


class PromptSpec(_Spec):
    """A handler that asks the chat model. `system` and `user` are jinja2; `embedded` names the function that answers without one."""

    system: Prose
    user: Prose
    embedded: PythonRef | None = None


class HttpSpec(_Spec):
    """A handler behind an HTTP endpoint: the task envelope is POSTed, the reply's data comes back as JSON."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2000)]
    headers: dict[str, str] = Field(default_factory=dict)


class HandlerSpec(_Spec):
    """Exactly one kind of handler: `python`, `prompt` or `http`."""

    python: PythonRef | None = None
    prompt: PromptSpec | None = None
    http: HttpSpec | None = None

    @model_validator(mode="after")
    def _is_exactly_one(self) -> HandlerSpec:
        given = [name for name in ("python", "prompt", "http") if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"exactly one of python, prompt, http is needed, got {given or 'none'}"
            raise ValueError(msg)
        return self


SilencePolicy = Literal["wait", "reroute", "fail"]
"""What becomes of an agent's open tasks when its heartbeats stop: they wait for it, are decided again without it, or fail."""


class LimitsSpec(_Spec):
    """How long, how many at once, how often.

    `acknowledge_seconds`: an agent says when it takes a task up; one that it has not taken up by then is given to somebody else who
    accepts it, and a step of a workflow counts a failed attempt. Absent, nothing is said and nothing waited for.
    """

    timeout_seconds: float = Field(30.0, gt=0, le=3600)
    max_concurrent: int = Field(10, ge=1, le=1000)
    max_attempts: int = Field(3, ge=1, le=20)
    acknowledge_seconds: float | None = Field(None, gt=0, le=3600)


class Preference(_Spec):
    """What counts, and how much, when one of several agents that do the same is to be given a message; 0 is not at all."""

    load: float = Field(1.0, ge=0, le=10)
    reliability: float = Field(1.0, ge=0, le=10)
    latency: float = Field(1.0, ge=0, le=10)


class AgentDefinition(_Spec):
    """One agent: what it is for, what it takes, what it answers, who does the work.

    `capability` names work that others do just as well: of agents with one capability that accept a message, one is given it, by how
    busy, reliable and fast they are.

    `pause_on` and `resume_on` say which events make it rest and work again; its tasks wait meanwhile. `on_silence`: what becomes of
    its open tasks when no process of it sends heartbeats any more; absent, what its fleet says.
    """

    name: Name
    description: Prose
    input: ContractSpec
    output: OutputSpec
    examples: tuple[Prose, ...] = ()
    handler: HandlerSpec
    limits: LimitsSpec = LimitsSpec()
    capability: Name | None = None
    handoffs: tuple[Name, ...] | None = None
    subscribe: SubscribeSpec | None = None
    pause_on: FilterList | None = None
    resume_on: FilterList | None = None
    on_silence: SilencePolicy | None = None

    @model_validator(mode="after")
    def _resumes_what_it_pauses(self) -> AgentDefinition:
        if self.resume_on is not None and self.pause_on is None:
            msg = "resume_on without pause_on: nothing pauses this agent; add pause_on, or take resume_on out"
            raise ValueError(msg)
        return self

    @field_validator("name")
    @classmethod
    def _is_not_reserved(cls, value: str) -> str:
        if value in RESERVED_NAMES:
            msg = f"{value!r} is reserved; choose another name for the agent"
            raise ValueError(msg)
        return value

    @property
    def is_candidate(self) -> bool:
        """Whether messages are routed to it; others only hear what they subscribe to, and what names them as target."""
        return self.subscribe is None or self.subscribe.role == "candidate"

    @property
    def max_concurrent(self) -> int:
        """How many of its tasks a process handles at once: by its limits, and by its subscription where that is stricter."""
        own = None if self.subscribe is None else self.subscribe.max_concurrent
        return self.limits.max_concurrent if own is None else min(own, self.limits.max_concurrent)

    @property
    def digest(self) -> str:
        """Sixteen hex digits over the whole definition."""
        return data_digest(self.as_json())[:16]

    def as_json(self) -> dict[str, Any]:
        """The definition as it goes to `agent_registry`."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Budgets(_Spec):
    """What an episode may cost before it is ended; `task_seconds` bounds the silence of one agent."""

    hops: int = Field(20, ge=1, le=1000)
    tokens: int = Field(100_000, ge=0)
    seconds: float = Field(3600.0, gt=0, le=30 * 24 * 3600)
    task_seconds: float = Field(900.0, gt=0, le=30 * 24 * 3600)


class ReviewRules(_Spec):
    """When a person decides: on a model's NONE, or below a confidence; the parked message waits `deadline_seconds`."""

    on_none: bool = False
    below_confidence: float = Field(0.0, ge=0, le=1)
    deadline_seconds: float = Field(24 * 3600.0, gt=0)


class SemanticCalibration(_Spec):
    """What a decision by vectors and words needs. `signalbox eval --fit` sets it; docs/routing-quality.md explains the defaults."""

    none_below: float = Field(0.19, ge=0, le=1)
    margin: float = Field(0.0, ge=0, le=1)
    lexical_weight: float = Field(0.3, ge=0, le=10)
    """How much likeness of words counts beside likeness of meaning, which counts 1."""
    rows: int = Field(0, ge=0)
    """On how many labelled rows it was fitted; 0 are the defaults or values written by hand."""

    @property
    def name(self) -> str:
        """What a decision record calls it: `default`, or `fitted:600:1f0c9a2e` (rows, digest), or `set:1f0c9a2e`."""
        if self == SemanticCalibration():
            return "default"
        digest = data_digest(self.model_dump(mode="json"))[:8]
        return f"fitted:{self.rows}:{digest}" if self.rows else f"set:{digest}"


class Calibration(_Spec):
    """When the embedded model says NONE: `none_below` and `margin` for decisions by words alone, `semantic` for those by vectors."""

    none_below: float = Field(0.12, ge=0, le=1)
    margin: float = Field(0.0, ge=0, le=1)
    semantic: SemanticCalibration = SemanticCalibration()


class FleetPolicy(_Spec):
    """`fleet.yaml`: how a fleet's conversations are decided, bounded and completed.

    `on_silence` holds for agents that do not say it themselves; absent it is `wait`. `prefer`: see `Preference`; absent, all of it
    counts alike.
    """

    name: Name
    description: Prose | None = None
    policy: Literal["contract_first", "model_always"] = "contract_first"
    budgets: Budgets = Budgets()
    completes_on: tuple[EventType, ...] = ()
    review: ReviewRules = ReviewRules()
    calibration: Calibration = Calibration()
    max_episodes: int = Field(100, ge=1)
    on_silence: SilencePolicy | None = None
    prefer: Preference | None = None

    def as_json(self) -> dict[str, Any]:
        """The policy as it goes into the manifest."""
        return self.model_dump(mode="json", exclude_none=True)


class FleetFile(FleetPolicy):
    """The file `fleet.yaml`: the policy, and the schemas its agents share (`$ref: fleet.yaml#/schemas/<name>`).

    `subscribe`: of every agent that does not say it itself; an agent's own `subscribe: null` is a word. `entries`: who takes what
    comes from outside. Only the linter reads it; absent, whoever takes no agent's answer is one.
    """

    schemas: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    entries: tuple[Name, ...] | None = None
    subscribe: SubscribeSpec | None = None

    def completed(self, agent: AgentDefinition) -> AgentDefinition:
        """Return `agent` with what the file says for all of the fleet: what travels names no other file."""
        if self.subscribe is None or "subscribe" in agent.model_fields_set:
            return agent
        return agent.model_copy(update={"subscribe": self.subscribe})

    def policy_alone(self) -> FleetPolicy:
        """Return what the running system needs: shared schemas and subscriptions are in the definitions by then."""
        return FleetPolicy.model_validate(
            self.model_dump(exclude={"schemas", "entries", "subscribe"})
        )
