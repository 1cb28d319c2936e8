"""The heartbeat on `agent_heartbeats`: one every few seconds from each agent process."""

from __future__ import annotations

from signalbox.contracts.record import Name, Record, Timestamp


class Heartbeat(Record):
    """An agent instance as it sees itself. `active` counts handlers running now.

    `definitions` names the active set, `digest` the agent's own definition that is served. `draining`: it was removed.
    `paused`: an event made it rest; its tasks wait. Where the definition says a `capability`, it is here, and `busy_ms` is how long
    handlers ran in all, ms: both are left out otherwise.
    """

    agent: Name
    instance: str
    active: int
    max_concurrent: int
    handled: int
    failed: int
    definitions: str
    digest: str = ""
    draining: bool = False
    paused: bool = False
    capability: Name | None = None
    busy_ms: int | None = None
    at: Timestamp
