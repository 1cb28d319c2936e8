"""What the reducer decides by: compiled definitions of one manifest (`Rules`) and the last three of them (`Rulebook`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self

from signalbox.contracts.liveness import Load
from signalbox.definitions.contract import Contract
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy, SilencePolicy
from signalbox.routing.pool import Pool
from signalbox.routing.subscriptions import Subscriptions
from signalbox.workflows.compiled import CompiledWorkflow

KEPT_VERSIONS: Final = 3


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """What settings, not fleets, decide. A `policy` here wins over every fleet's."""

    policy: Literal["contract_first", "model_always"] | None = None
    model_timeout_seconds: float = 30.0
    model_max_attempts: int = 4
    backoff_base_seconds: float = 0.5
    backoff_cap_seconds: float = 30.0
    max_waiting_messages: int = 100


@dataclass(frozen=True, slots=True)
class CompiledAgent:
    """A definition and the fleet it belongs to; `on_silence` is its own policy, else the fleet's."""

    definition: AgentDefinition
    fleet: str
    on_silence: SilencePolicy = "wait"

    @property
    def is_watched(self) -> bool:
        """Whether what its tasks are made of is kept, because they may have to be decided again."""
        return (
            self.on_silence == "reroute" or self.definition.limits.acknowledge_seconds is not None
        )

    @property
    def contract(self) -> Contract:
        """Its input contract, compiled at the first use."""
        return self.definition.input.contract


@dataclass(frozen=True, slots=True)
class Rules:
    """One manifest, ready to decide by."""

    digest: str
    agents: Mapping[str, CompiledAgent]
    pool: Pool
    policies: Mapping[str, FleetPolicy]
    completes_on: frozenset[str]
    engine: EnginePolicy
    subscriptions: Subscriptions
    workflows: Mapping[str, CompiledWorkflow] = field(default_factory=dict)
    has_colleagues: bool = False
    """Whether several agents name one capability."""

    @classmethod
    def compile(cls, active: ActiveSet, engine: EnginePolicy) -> Self:
        """Make `active` ready: its schemas were checked when the definitions were read.

        Raises:
            ValueError: a workflow cannot run: its order, a mapping, or an agent that is not in the set.
        """
        return cls(
            digest=active.digest,
            agents={
                name: CompiledAgent(
                    definition, active.fleet_of[name], _on_silence(definition, name, active)
                )
                for name, definition in active.agents.items()
            },
            pool=Pool({name: one for name, one in active.agents.items() if one.is_candidate}),
            policies=active.policies,
            completes_on=frozenset(
                kind for policy in active.policies.values() for kind in policy.completes_on
            ),
            engine=engine,
            subscriptions=Subscriptions(active.agents),
            workflows=_compiled(active),
            has_colleagues=_has_colleagues(active),
        )

    def started_by(self, kind: str) -> tuple[CompiledWorkflow, ...]:
        """Return the workflows that a message of type `kind` may start, by name."""
        if not self.workflows:
            return ()
        return tuple(
            self.workflows[name]
            for name in sorted(self.workflows)
            if kind in self.workflows[name].definition.starts_on
        )

    def policy_of(self, fleet: str | None) -> FleetPolicy:
        """Return the policy of the conversation's fleet; before its first dispatch, or when that fleet is gone, the first fleet's."""
        if fleet is not None and fleet in self.policies:
            return self.policies[fleet]
        return next(iter(self.policies.values()), NO_POLICY)

    def is_model_always(self, fleet: str | None) -> bool:
        """Say whether the model is asked even where one candidate is left."""
        return (self.engine.policy or self.policy_of(fleet).policy) == "model_always"


def _on_silence(definition: AgentDefinition, name: str, active: ActiveSet) -> SilencePolicy:
    policy = active.policies.get(active.fleet_of[name], NO_POLICY)
    return definition.on_silence or policy.on_silence or "wait"


def _has_colleagues(active: ActiveSet) -> bool:
    named = [one.capability for one in active.agents.values() if one.capability is not None]
    return len(named) > len(set(named))


def _compiled(active: ActiveSet) -> dict[str, CompiledWorkflow]:
    for name, definition in active.workflows.items():
        if unknown := sorted(definition.agents - active.agents.keys()):
            msg = f"workflow {name!r} names {unknown[0]!r}, which is no active agent"
            raise ValueError(msg)
    return {
        name: CompiledWorkflow.compile(definition, active.workflow_fleet_of[name])
        for name, definition in active.workflows.items()
    }


NO_POLICY: Final = FleetPolicy(name="default")


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The active rules and their predecessors, so that a message in flight finishes under the version that admitted it.

    `retired` are removed agents that may still answer: what they may hand off to holds until they are through. `failed` are agents
    whose heartbeats stopped, each with since when, ms since 1970. `loads` is how those do that share work with others; `spared` are
    agents of whom a what-if replay knows that a colleague was drawn.
    """

    current: Rules | None = None
    earlier: tuple[Rules, ...] = field(default=())
    retired: Mapping[str, AgentDefinition] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)
    spared: frozenset[str] = frozenset()

    def activate(self, rules: Rules) -> Self:
        """Return the rulebook with `rules` current and at most three versions kept."""
        if self.current is not None and self.current.digest == rules.digest:
            return replace(self, current=rules)
        versions = (self.current, *self.earlier) if self.current is not None else self.earlier
        kept = tuple(version for version in versions if version.digest != rules.digest)
        return replace(self, current=rules, earlier=kept[: KEPT_VERSIONS - 1])

    def version(self, digest: str) -> Rules | None:
        """Return the rules with `digest` while they are kept, else None."""
        if self.current is not None and self.current.digest == digest:
            return self.current
        return next((rules for rules in self.earlier if rules.digest == digest), None)
