"""Which conversations to tell that an agent failed: those that are open, a few at each touch of their shard.

Keyed state cannot be asked who waits for an agent, so every open conversation is looked at, and only when a failure is announced.
A restart begins the scan anew; a conversation that was told already finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from signalbox.routing.rules import Rulebook

PORTION: Final = 32
"""Conversations a touch. The 64 shards are touched twice a second at least: 4,000 conversations a second."""


class FailureScan:
    """The scan of one shard."""

    __slots__ = ("_agents", "_failed", "_left")

    def __init__(self) -> None:
        self._failed: Mapping[str, int] = {}
        self._agents: set[str] = set()
        self._left: list[str] = []

    def portion(
        self, rulebook: Rulebook, conversations: Callable[[], list[str]]
    ) -> tuple[frozenset[str], list[str]]:
        """Return the agents to ask about and the conversations to ask now; both are empty nearly always.

        Args:
            rulebook: who failed, and by which policy.
            conversations: what is open in the shard; asked for once a failure.
        """
        rules = rulebook.current
        if rulebook.failed is not self._failed and rules is not None:
            new = {
                name
                for name, since_ms in rulebook.failed.items()
                if self._failed.get(name) != since_ms
                and name in rules.agents
                and rules.agents[name].on_silence != "wait"
            }
            self._failed = rulebook.failed
            if new:
                self._agents |= new
                self._left = conversations()
        if not self._left:
            return _NOBODY
        now, self._left = self._left[-PORTION:], self._left[:-PORTION]
        agents = frozenset(self._agents)
        if not self._left:
            self._agents.clear()
        return agents, now


_NOBODY: Final[tuple[frozenset[str], list[str]]] = (frozenset(), [])
