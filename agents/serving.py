"""What an agent process serves: one definition with its contracts compiled, its handler, and where its records go."""

from __future__ import annotations

from dataclasses import dataclass

from agents.task import Handler
from signalbox.contracts.registry import BacklogPolicy
from signalbox.definitions.contract import Contract
from signalbox.definitions.specs import AgentDefinition
from signalbox.topics import AGENT_HEARTBEATS, AGENT_MESSAGES, AGENT_MESSAGES_DLQ, agent_tasks


@dataclass(frozen=True, slots=True)
class AgentTopics:
    """The full names of the topics that one agent reads and writes."""

    tasks: str
    messages: str
    dead_letters: str
    heartbeats: str

    @classmethod
    def of(cls, agent: str, prefix: str) -> AgentTopics:
        """Return the topics of `agent` with the topic prefix of the settings."""
        return cls(
            prefix + agent_tasks(agent),
            prefix + AGENT_MESSAGES,
            prefix + AGENT_MESSAGES_DLQ,
            prefix + AGENT_HEARTBEATS,
        )


@dataclass(frozen=True, slots=True)
class Serving:
    """A definition in service.

    `definitions` is the digest of the set it came with. `retired`: the agent was removed, and what becomes of the tasks
    that wait for it.
    """

    definition: AgentDefinition
    handler: Handler
    input_contract: Contract
    output_contract: Contract
    definitions: str
    retired: BacklogPolicy | None = None

    @classmethod
    def of(cls, definition: AgentDefinition, handler: Handler, *, definitions: str = "") -> Serving:
        """Compile the contracts of `definition`."""
        return cls(
            definition,
            handler,
            Contract(definition.input.json_schema),
            Contract(definition.output.json_schema),
            definitions,
        )
