"""A workflow definition as pydantic models: steps with agents, an order between them, and what becomes of failures.

One file of a fleet's folder `workflows/`. Values of `input`, `result` and `compensate.input` are a mapping: literals, strings
with `{{ … }}` over `data` and `steps.<id>.<field>`, `{$path: …}` for JSONPath and `{$tasks: …}` for what became of a plan;
`signalbox.workflows.mapping` says how they are filled in. What needs the fleet's agents to be judged is judged in
`signalbox.workflows.check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from signalbox.contracts.events import Notify
from signalbox.contracts.ids import data_digest
from signalbox.contracts.record import Name
from signalbox.definitions.specs import RESERVED_TYPES, ContractSpec, EventType, Prose

MAX_STEPS: Final = 200
MAX_SECONDS: Final = 30 * 24 * 3600.0
MAX_PLANNED_TASKS: Final = 50
MAX_TASK_ID_CHARS: Final = 40
MAX_PLAN_STEP_ID_CHARS: Final = 22
"""A planned step is `<plan step>_<task>`, and a step's id has at most 63 characters."""

StepId = Name
"""A step's name in `needs` and in `steps.<id>`: letters, digits and underscores, so a template can say it."""
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
Expression = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    # Not exclude_none: a null inside a mapping is a value that somebody wrote.
    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class CompensateSpec(_Spec):
    """How a completed step is undone: `agent` is given `input`.

    `input` may refer to the step itself; absent, the agent is given what the step answered.
    """

    agent: Name
    input: Mapping[str, Any] | None = None


class ApproveSpec(_Spec):
    """A person must agree before the step is given to its agent.

    `reason` is what the person reads and may have `{{ … }}`. Nobody answered within `deadline_seconds`: `default` is the answer.
    A rejected step has failed; its `on_failure` and the workflow's say what follows.
    """

    reason: Prose
    deadline_seconds: Seconds = 24 * 3600.0
    default: Literal["approve", "reject"] = "reject"


class ValidateSpec(_Spec):
    """A second agent judges what the step answered, before anybody else sees it.

    It is given `input`, which may refer to the step itself; absent, `{task, result}`: what the step was given and what it
    answered. Its answer has a boolean `accepted` and may have a text `comment`. A refused result is asked for again, with the
    comment, until `rounds` judgements were made; then the step has failed.
    """

    agent: Name
    rounds: int = Field(2, ge=1, le=10)
    input: Mapping[str, Any] | None = None


class PlanSpec(_Spec):
    """The step's agent answers with tasks, `{tasks: [{id, agent, description, needs: [id]}]}`, which become further steps.

    Tasks go to `agents` only, at most `max_tasks` of them. A plan that is refused is asked for again with what is wrong as
    `context`, at most `rounds` times; then the step has failed. Each task is given `input`, what `input_for` has for its agent,
    and besides `task`, its description, and `results`, what the tasks it needs answered. `on_failure`, `retries` and
    `timeout_seconds` are those of each task.
    """

    agents: tuple[Name, ...] = Field(min_length=1, max_length=50)
    max_tasks: int = Field(12, ge=1, le=MAX_PLANNED_TASKS)
    rounds: int = Field(2, ge=0, le=10)
    input: Mapping[str, Any] | None = None
    input_for: Mapping[Name, Mapping[str, Any]] | None = None
    on_failure: Literal["fail", "skip"] = "fail"
    retries: int = Field(0, ge=0, le=20)
    timeout_seconds: Seconds | None = None

    @field_validator("agents")
    @classmethod
    def _are_named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = [name for number, name in enumerate(value) if name in value[:number]]
        if twice:
            msg = f"{twice[0]!r} is named twice; name each agent once"
            raise ValueError(msg)
        return value


class StepSpec(_Spec):
    """One step: who does it, with what, after what, and what becomes of it when it fails.

    `input` absent: the data that started the workflow is handed on. `when` is an expression that is true or false; false skips
    the step, and what needs it goes on without its result. `timeout_seconds` absent: the fleet's `task_seconds`. `retries` are
    attempts after the first. `on_failure: skip` goes on as if the step had been skipped. `compensate: none` says that there is
    nothing to undo. With `plan` the answer becomes further steps; what needs the step waits for all of them.

    `needs_at_least: N` gathers: the step begins once N of its `needs` are done. A need that fails is borne while N can still be
    reached, where nothing else waits for it. `stragglers` says what becomes of needs that are not through by then: `close`
    (absent) ends them, and what they answer later is a dead letter `late`; `keep` lets them go on.
    """

    id: StepId
    agent: Name
    description: str = Field("", max_length=4000)
    input: Mapping[str, Any] | None = None
    needs: tuple[StepId, ...] = Field((), max_length=MAX_STEPS)
    needs_at_least: int | None = Field(None, ge=1, le=MAX_STEPS)
    stragglers: Literal["close", "keep"] | None = None
    when: Expression | None = None
    timeout_seconds: Seconds | None = None
    retries: int = Field(0, ge=0, le=20)
    on_failure: Literal["fail", "skip"] = "fail"
    compensate: CompensateSpec | Literal["none"] | None = None
    approve: ApproveSpec | None = None
    validate_by: ValidateSpec | None = None
    plan: PlanSpec | None = None

    @model_validator(mode="after")
    def _can_plan(self) -> StepSpec:
        if self.plan is None:
            return self
        if self.validate_by is not None:
            msg = "plan and validate_by: a plan is checked by the orchestrator; let a step of its own judge what its tasks made"
            raise ValueError(msg)
        if len(self.id) > MAX_PLAN_STEP_ID_CHARS:
            msg = f"{self.id!r} plans; its id has at most {MAX_PLAN_STEP_ID_CHARS} characters, because `{self.id}_<task>` is one too"
            raise ValueError(msg)
        return self

    @property
    def undo(self) -> CompensateSpec | None:
        """How it is undone; None where there is nothing to undo."""
        return self.compensate if isinstance(self.compensate, CompensateSpec) else None


class WorkflowDefinition(_Spec):
    """One workflow: which messages start it, its steps, and what it comes to.

    A message of a type in `starts_on` whose data fits `input` starts it. `result` becomes the detail of a completed outcome.
    `on_failure: compensate` undoes the completed steps in reverse order when a step fails; `fail` leaves them as they are.
    A workflow that is not through after `timeout_seconds` has failed. `notify`: the end of a run is an event `workflow.<status>` for
    whoever subscribes to it; with `participants` also for every agent that took part and whose contract accepts it.
    """

    name: Name
    description: Prose
    starts_on: tuple[EventType, ...] = Field(min_length=1, max_length=50)
    input: ContractSpec
    steps: tuple[StepSpec, ...] = Field(min_length=1, max_length=MAX_STEPS)
    result: Mapping[str, Any] | None = None
    on_failure: Literal["compensate", "fail"] = "compensate"
    timeout_seconds: Seconds = 3600.0
    notify: Notify | None = None

    @field_validator("starts_on")
    @classmethod
    def _are_not_reserved(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        reserved = [kind for kind in value if kind in RESERVED_TYPES]
        if reserved:
            msg = (
                f"{reserved[0]!r} is a type of the engine; name your own event, like 'order.placed'"
            )
            raise ValueError(msg)
        return value

    @property
    def agents(self) -> frozenset[str]:
        """Everybody whom a step names: who does it, judges it, undoes it, or may be given a task of its plan."""
        steps = {step.agent for step in self.steps}
        judges = {step.validate_by.agent for step in self.steps if step.validate_by is not None}
        undoing = {step.undo.agent for step in self.steps if step.undo is not None}
        planned = {name for step in self.steps if step.plan for name in step.plan.agents}
        return frozenset(steps | judges | undoing | planned)

    @property
    def digest(self) -> str:
        """Sixteen hex digits over the whole definition."""
        return data_digest(self.as_json())[:16]

    def as_json(self) -> dict[str, Any]:
        """The definition as it goes to `agent_registry`."""
        return self.model_dump(mode="json", by_alias=True)
