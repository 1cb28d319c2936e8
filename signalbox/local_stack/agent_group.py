"""The agents' processes: one for each active agent, and for removed ones while tasks wait for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from agents.exit_codes import EXIT_DRAINED, EXIT_RENEWED
from connectors.broker import BrokerError
from connectors.topic_admin import ensure_topics_of
from connectors.topic_lag import agents_with_backlog
from signalbox.contracts.registry import Retirement
from signalbox.errors import StackError
from signalbox.local_stack.child import Child
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.process import ProcessSpec
from signalbox.local_stack.registered_agents import RegisteredAgents
from signalbox.local_stack.state_file import ProcessRecord

STOP_SECONDS: Final = 8.0
BACKLOGS_EVERY_SECONDS: Final = 10.0


@dataclass(frozen=True)
class AgentMeans:
    """What the group does with the world.

    Args:
        spec: how to run an agent's process.
        make_topic: makes the topic of an agent's tasks, where it is missing.
        with_backlog: asks which of some agents have tasks waiting.
    """

    spec: Callable[[str], ProcessSpec]
    make_topic: Callable[[str], object]
    with_backlog: Callable[[Collection[str]], frozenset[str]]

    @classmethod
    def of(cls, layout: Layout) -> Self:
        """Return those of a stack."""
        kafka = layout.settings.kafka
        return cls(
            spec=partial(_spec, layout),
            make_topic=lambda name: ensure_topics_of(kafka, [name], fixed=False),
            with_backlog=partial(agents_with_backlog, kafka),
        )


class AgentGroup:
    """Agents as children, as `agent_registry` has them.

    A removed agent's process ends by itself when its topic is worked off. Should a task come later than that, or the stack
    have been down meanwhile, another process is started for it.

    Args:
        registered: the registry.
        means: how processes are started, and what is asked of the broker.
        say: told what happens.
        now: a monotonic clock, seconds.
    """

    def __init__(
        self,
        registered: RegisteredAgents,
        means: AgentMeans,
        say: Callable[[str | None], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registered = registered
        self._means = means
        self._say = say
        self._now = now
        self._active: dict[str, Child] = {}
        self._leaving: dict[str, Child] = {}
        self._is_known = False
        self._look_at = 0.0

    @property
    def names(self) -> frozenset[str]:
        """The active agents."""
        return frozenset(self._active)

    @property
    def are_up(self) -> bool:
        """Whether the registry is known and the process of every active agent runs."""
        return self._is_known and all(child.state == "running" for child in self._active.values())

    def everyone(self) -> list[Child]:
        """Return all children, those of removed agents included."""
        return [*self._active.values(), *self._leaving.values()]

    def records(self) -> list[ProcessRecord]:
        """Return all processes as the state file has them."""
        leaving = [child.record() for child in self._leaving.values()]
        return [
            *(child.record() for child in self._active.values()),
            *(
                record.model_copy(update={"state": "draining"}) if record.pid else record
                for record in leaving
            ),
        ]

    def step(self) -> None:
        """Look after every process once."""
        if any(child.has_ended() for child in self._active.values()):
            # An agent that was removed ends by itself: no crash, and nothing to start again.
            self.follow_registry()
        for name, child in list(self._leaving.items()):
            if child.process is not None and child.process.exit_code() == EXIT_DRAINED:
                child.stop()
                del self._leaving[name]
                self._say(f"agent {name} is removed and has no task left")
        for child in self.everyone():
            self._say(child.step())

    def follow_registry(self) -> None:
        """Start what is active and does not run, let go of what runs and is not active."""
        state = self._registered.state()
        if state is None:
            return
        self._is_known = True
        active = state.active.agents.keys()
        try:
            for name in sorted(active - self._active.keys()):
                self._begin(name)
            for name in sorted(self._active.keys() - active):
                self._let_go(name, state.retired.get(name))
            self._work_off_what_is_left(state.retired)
        except (StackError, BrokerError) as error:
            # The broker went away in between; the next turn asks again.
            self._say(str(error))

    def ask_to_stop(self) -> None:
        """Ask every agent to finish what it has; `stop` of each child still has to follow."""
        self._registered.close()
        for child in self.everyone():
            child.ask_to_stop()

    def _begin(self, name: str) -> None:
        # `up` and `agents apply` make the topic too; an agent from elsewhere must not crash for want of it.
        self._means.make_topic(name)
        former = self._leaving.pop(name, None)
        if former is not None and former.has_ended():
            former.stop()
            former = None
        # Removed and applied again: a process that still runs follows the registry too, and stays.
        self._active[name] = former or self._started(name)

    def _let_go(self, name: str, retirement: Retirement | None) -> None:
        child = self._leaving[name] = self._active.pop(name)
        self._look_at = self._now() + BACKLOGS_EVERY_SECONDS
        if retirement is None:
            child.ask_to_stop()
        what = "dead-lettered" if retirement and retirement.backlog == "dead-letter" else "drained"
        self._say(f"agent {name} was removed, its tasks are {what}")

    def _work_off_what_is_left(self, retired: Mapping[str, Retirement]) -> None:
        absent = retired.keys() - self._leaving.keys()
        if not absent or self._now() < self._look_at:
            return
        self._look_at = self._now() + BACKLOGS_EVERY_SECONDS
        for name in sorted(self._means.with_backlog(absent)):
            self._leaving[name] = self._started(name)
            self._say(f"agent {name} is removed and tasks wait for it")

    def _started(self, name: str) -> Child:
        child = Child(
            f"agent {name}",
            "agent",
            partial(self._means.spec, name),
            renewal_codes=frozenset({EXIT_RENEWED}),
        )
        child.start()
        return child


def _spec(layout: Layout, name: str) -> ProcessSpec:
    return ProcessSpec(
        name=f"agent {name}",
        argv=(sys.executable, "-m", "agents", name),
        log_path=layout.logs / f"agent-{name}.log",
        environ=layout.environ(),
        stop_seconds=STOP_SECONDS,
    )
