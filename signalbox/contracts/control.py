"""The records on `agent_control`: who rests because of which event. Written by the orchestrator, read by the agents' processes.

A rest concerns every conversation, and the orchestrator's state is kept by conversation; so it is a record of its own, and whoever
is to rest reads it. The topic is compacted: the newest record of an agent is what holds.
"""

from __future__ import annotations

from signalbox.contracts.record import Identifier, Name, Record, Timestamp


class Pause(Record):
    """From `at` on `agent` rests (`paused`), or works again, because of the message named. The Kafka key is the agent."""

    agent: Name
    paused: bool
    message_id: Identifier
    conversation_id: Identifier
    type: str
    source: str
    at: Timestamp
