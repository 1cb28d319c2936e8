"""Questions to the read model, of whatever it knows."""

from __future__ import annotations

from signalbox.gateway.readmodel.agent_queries import RECENT_TASKS, AgentQueries, TaskCounts
from signalbox.gateway.readmodel.conversation_queries import (
    MAX_FACTS,
    OPEN,
    ConversationQueries,
    Cursor,
    Tail,
)
from signalbox.gateway.readmodel.desk_queries import OPEN_LETTER, DeskQueries
from signalbox.gateway.readmodel.tables import NotReadyError, Page

__all__ = [
    "MAX_FACTS",
    "OPEN",
    "OPEN_LETTER",
    "RECENT_TASKS",
    "Cursor",
    "NotReadyError",
    "Page",
    "ReadModel",
    "Tail",
    "TaskCounts",
]


class ReadModel(ConversationQueries, DeskQueries, AgentQueries):
    """What is known of conversations, reviews and dead letters, and agents."""
