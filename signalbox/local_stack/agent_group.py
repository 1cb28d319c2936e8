"""The agents' processes: one for each active agent, started and drained as `agent_registry` changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from connectors.broker import Broker
from connectors.topic_admin import ensure_topics_of
from signalbox.local_stack.child import Child
from signalbox.local_stack.fleets import ActiveAgents
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.process import ProcessSpec

DRAIN_SECONDS: Final = 8.0


class AgentGroup:
    """Agents as children. `children` run; those that were removed still finish what they have.

    Args:
        layout: settings and where logs go.
        broker: where the registry is.
        say: told what happens.
    """

    def __init__(self, layout: Layout, broker: Broker, say: Callable[[str | None], None]) -> None:
        self.children: dict[str, Child] = {}
        self._layout = layout
        self._active = ActiveAgents(broker, layout.settings)
        self._say = say
        self._draining: list[tuple[float, Child]] = []

    def everyone(self) -> list[Child]:
        """Return all children, those being drained included."""
        return [*self.children.values(), *(child for _, child in self._draining)]

    def has_ended(self) -> bool:
        """Whether one ended by itself since it was looked after last."""
        return any(
            child.state != "restarting"
            and child.process is not None
            and child.process.exit_code() is not None
            for child in self.children.values()
        )

    def follow_registry(self) -> None:
        """Start what is active and does not run, drain what runs and is not active."""
        names = self._active.names()
        if names is None:
            return
        for name in sorted(names - self.children.keys()):
            self._start(name)
        for name in sorted(self.children.keys() - names):
            child = self.children.pop(name)
            child.ask_to_stop()
            self._draining.append((time.monotonic() + DRAIN_SECONDS, child))
            self._say(f"agent {name} was removed and is drained")

    def finish_draining(self) -> None:
        """Let go of drained agents that have ended, and end those that take too long."""
        left = []
        for deadline, child in self._draining:
            ended = child.process is None or child.process.exit_code() is not None
            if ended or time.monotonic() > deadline:
                child.stop()
            else:
                left.append((deadline, child))
        self._draining = left

    def ask_to_stop(self) -> None:
        """Ask every agent to finish what it has; `Child.stop` still has to follow."""
        self._active.close()
        for child in self.everyone():
            child.ask_to_stop()

    def _start(self, name: str) -> None:
        # `up` and `agents apply` make the topic too; an agent from elsewhere must not crash for want of it.
        ensure_topics_of(self._layout.settings.kafka, [name], fixed=False)
        child = Child(f"agent {name}", "agent", partial(self._spec, name))
        child.start()
        self.children[name] = child

    def _spec(self, name: str) -> ProcessSpec:
        return ProcessSpec(
            name=f"agent {name}",
            argv=(sys.executable, "-m", "agents", name),
            log_path=self._layout.logs / f"agent-{name}.log",
            environ=self._layout.environ(),
            stop_seconds=DRAIN_SECONDS,
        )
