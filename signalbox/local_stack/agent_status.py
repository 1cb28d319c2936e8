"""How each agent is: active or removed, which of its processes runs, and whether that serves the active definition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.definitions.registry_state import RegistryState


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One agent that is active, or removed and not through yet.

    `state` is that of its process: `outside` where none of ours runs it, `draining` once it was removed. `digest` is the
    active definition, of a removed agent the last one; `running` are those that its living processes say they serve.
    """

    name: str
    fleet: str
    state: str
    digest: str
    running: tuple[str, ...] = ()
    is_active: bool = True
    backlog: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether every living process serves `digest`."""
        return set(self.running) <= {self.digest}

    @property
    def is_silent(self) -> bool:
        """Whether no process of an active agent sent a heartbeat lately: none runs, or it is stuck."""
        return self.is_active and not self.running


def agent_statuses(
    registry: RegistryState, heartbeats: Iterable[Heartbeat], process_states: Mapping[str, str]
) -> tuple[AgentStatus, ...]:
    """Join what the registry, the processes themselves and a supervisor say.

    Args:
        registry: active and retired agents.
        heartbeats: the newest of each living process.
        process_states: agent → state, of the processes that a supervisor here keeps.
    """
    running: dict[str, set[str]] = {}
    for beat in heartbeats:
        running.setdefault(beat.agent, set()).add(beat.digest or "?")
    active = registry.active
    found = [
        AgentStatus(
            name,
            active.fleet_of[name],
            process_states.get(name, "outside"),
            definition.digest,
            tuple(sorted(running.get(name, ()))),
        )
        for name, definition in active.agents.items()
    ]
    found += [
        AgentStatus(
            name,
            retirement.fleet,
            "draining",
            retirement.digest,
            tuple(sorted(running.get(name, ()))),
            is_active=False,
            backlog=retirement.backlog,
        )
        for name, retirement in registry.retired.items()
        if name in process_states or name in running
    ]
    return tuple(found)
