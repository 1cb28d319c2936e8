"""What the registry says about one agent: what it is to serve, that it was removed, that only a new process can serve it.

Follows `agent_registry` in a thread of its own; the process hears of it in callbacks on that thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from agents.handlers import runs_code
from agents.result import HandlerResult, Terminal
from agents.serving import Serving
from agents.task import Context, Handler, Task
from connectors.broker import Broker
from connectors.registry import follow_registry
from connectors.registry_view import RegistryView
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import ConfigurationError, SignalboxError

_RETRY_SECONDS: Final = 1.0
_FOR_ROUTING_ONLY: Final = frozenset(
    {"description", "examples", "handoffs", "subscribe", "pause_on", "resume_on"}
)


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told. `serve`: from now on this. `renew`: end when the work in hand is done, a new process takes over."""

    serve: Callable[[Serving], None]
    renew: Callable[[], None]


class RegistryWatch:
    """Follows the registry for agent `name` until `stopped` is set. `handlers` builds what a definition names."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        topic_prefix: str,
        handlers: Callable[[AgentDefinition], Handler],
        stopped: threading.Event,
    ) -> None:
        self._name = name
        self._broker = broker
        self._topic_prefix = topic_prefix
        self._handlers = handlers
        self._stopped = stopped
        self._taken: Serving | None = None
        self._log: Any = structlog.get_logger().bind(agent=name)

    def start(self, ears: Ears) -> None:
        """Follow in a thread of its own."""
        threading.Thread(target=self._follow, args=(ears,), name="registry", daemon=True).start()

    def _follow(self, ears: Ears) -> None:
        while not self._stopped.is_set():
            try:
                for view in follow_registry(
                    self._broker,
                    topic_prefix=self._topic_prefix,
                    is_stopped=self._stopped.is_set,
                ):
                    self.take(view, ears)
            except SignalboxError as error:
                self._log.warning("registry.unreadable", detail=str(error))
                self._stopped.wait(_RETRY_SECONDS)

    def take(self, view: RegistryView, ears: Ears) -> None:
        """Tell what `view` means for the agent; nothing where it means nothing."""
        state = view.state
        definition = state.active.agents.get(self._name)
        if definition is None:
            self._take_removal(view, ears)
            return
        try:
            serving = self._serving(definition, state.active.digest)
        except (ConfigurationError, ValueError) as error:
            # With an old definition in service that one goes on; without one the process waits for a better one.
            self._log.error("definition.unusable", digest=definition.digest, detail=str(error))
            return
        if self._needs_new_process(definition):
            self._log.info("agent.renewed", digest=definition.digest)
            ears.renew()
            return
        self._hand_over(serving, ears)

    def _take_removal(self, view: RegistryView, ears: Ears) -> None:
        state = view.state
        taken = self._taken.definition if self._taken is not None else None
        definition = view.retired_definition(self._name) or taken
        if definition is None:
            return  # not defined yet
        retirement = state.retired.get(self._name)
        backlog = "drain" if retirement is None else retirement.backlog
        try:
            serving = self._serving(definition, state.active.digest)
        except (ConfigurationError, ValueError) as error:
            # Its code may have gone with it: then nobody can work its tasks off.
            self._log.error("definition.unusable", digest=definition.digest, detail=str(error))
            serving = Serving.of(definition, _cannot_run, definitions=state.active.digest)
            backlog = "dead-letter"
        self._hand_over(replace(serving, retired=backlog), ears)

    def _hand_over(self, serving: Serving, ears: Ears) -> None:
        self._taken = serving
        ears.serve(serving)

    def _needs_new_process(self, definition: AgentDefinition) -> bool:
        # Python reads code once: what a changed definition names may have changed with it.
        if self._taken is None or not runs_code(definition):
            return False
        return _of_the_work(self._taken.definition) != _of_the_work(definition)

    def _serving(self, definition: AgentDefinition, definitions: str) -> Serving:
        if self._taken is not None and self._taken.definition.digest == definition.digest:
            return replace(self._taken, definitions=definitions, retired=None)
        return Serving.of(definition, self._handlers(definition), definitions=definitions)


def _of_the_work(definition: AgentDefinition) -> dict[str, Any]:
    """Return what of a definition concerns the work; the rest is the orchestrator's."""
    return {k: v for k, v in definition.as_json().items() if k not in _FOR_ROUTING_ONLY}


async def _cannot_run(task: Task, context: Context) -> HandlerResult:
    return Terminal("agent_removed", f"{context.agent} was removed, and its handler with it")
