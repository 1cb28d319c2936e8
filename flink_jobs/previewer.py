"""What would be decided for a message now: the pure core of the functions that SQL calls, without Flink.

Takes raw values of `agent_messages`, decides by the active definitions, asks the model where contracts do not decide,
and waits for it: one message at a time, which is why `orchestrate` does not work this way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import orjson

from connectors.chat_model import ChatModel
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import ORCHESTRATOR, TASK_ASSIGNED, Envelope
from signalbox.contracts.ids import ROUTE_SLOT, dispatch_id
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import RetryableError, SignalboxError, TerminalError
from signalbox.routing.admit import decode
from signalbox.routing.preview import Preview, finish, preview
from signalbox.routing.rules import EnginePolicy, Rules
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES

INVALID: Final = "INVALID"
"""What `agent` says of a value that is no message; the orchestrator would write a dead letter."""

REFRESH_SECONDS: Final = 10.0

_log: Final = logging.getLogger(__name__)


class Previewer:
    """Answers for single values; the definitions are read at the start and again every `REFRESH_SECONDS`.

    Args:
        read_active: reads the registry to its end; None while nothing was published.
        model: asked where contracts leave several agents. Closed by `close`.
        engine: the settings' share of the policy.
        now_seconds: seconds since 1970.
    """

    def __init__(
        self,
        read_active: Callable[[], ActiveSet | None],
        model: ChatModel,
        engine: EnginePolicy,
        now_seconds: Callable[[], float],
    ) -> None:
        self._read_active = read_active
        self._model = model
        self._engine = engine
        self._now_seconds = now_seconds
        self._rules: Rules | None = None
        self._read_at = 0.0
        # One loop for all calls: the model's client keeps its connections on it.
        self._loop = asyncio.Runner()

    def start(self) -> None:
        """Read the definitions for the first time.

        Raises:
            Exception: whatever reading raised; a query without definitions would answer nothing and not say why.
        """
        self._take(self._read_active())

    def close(self) -> None:
        """Close the model's connections."""
        self._loop.run(self._model.close())
        self._loop.close()

    def agent(self, value: bytes | str | None) -> str | None:
        """Return the agent, `NONE` or `INVALID`; None for a null value and where nobody can say (model down)."""
        found = self.explain(value)
        return None if found is None else found["agent"]

    def explain(self, value: bytes | str | None) -> dict[str, Any] | None:
        """Return `agent`, `path`, `reason`, `candidates`, `model`; None for a null value. Never raises."""
        if value is None:
            return None
        try:
            return self._explain(_as_bytes(value))
        except Exception as error:  # one strange value must not end a query over a million others
            _log.exception("a preview failed")
            return _explained(None, None, f"cannot say: {type(error).__name__}: {error}")

    def task(self, value: bytes | str | None, agent: str | None) -> bytes | None:
        """Return the task that puts the message to `agent`, None where there is no message or no agent.

        Like the orchestrator's, except that nobody counts hops here: `hop` is always 1, and there is no deadline.
        """
        if value is None or agent in {None, NONE, INVALID}:
            return None
        message = self._decode(_as_bytes(value))
        if isinstance(message, DeadLetter):
            return None
        return Envelope(
            **(message.model_extra or {}),
            id=dispatch_id(message.id, ROUTE_SLOT),
            source=ORCHESTRATOR,
            type=TASK_ASSIGNED,
            time=from_epoch_ms(self._now_ms()),
            subject=message.subject,
            correlationid=message.correlationid or message.id,
            causationid=message.id,
            traceparent=message.traceparent,
            priority=message.priority,
            target=agent,
            hop=1,
            definitions=self._rules.digest if self._rules else None,
            data=message.data,
        ).to_json()

    def _explain(self, value: bytes) -> dict[str, Any]:
        self._refresh()
        message = self._decode(value)
        if isinstance(message, DeadLetter):
            return _explained(INVALID, None, f"{message.reason}: {message.detail}")
        if self._rules is None:
            return _explained(None, None, "no definitions are active yet")
        found = preview(message, self._rules)
        if found.request is None:
            return _of(found)
        try:
            answer = self._loop.run(
                self._model.complete(
                    found.request, timeout_seconds=self._engine.model_timeout_seconds
                )
            )
        except (RetryableError, TerminalError) as error:
            reason = f"{self._model.name} did not answer: {error}"
            return _explained(None, "model", reason, found, self._model.name)
        return _of(finish(found, answer.text), answer.model)

    def _decode(self, value: bytes) -> Envelope | DeadLetter:
        return decode(value, Origin(AGENT_MESSAGES), self._now_ms())

    def _now_ms(self) -> int:
        return int(self._now_seconds() * 1000)

    def _refresh(self) -> None:
        if self._now_seconds() - self._read_at < REFRESH_SECONDS:
            return
        try:
            self._take(self._read_active())
        except (SignalboxError, OSError) as error:
            # The broker may be away for a moment; what was active a moment ago is the better answer.
            _log.warning("the registry could not be read again: %s", error)
            self._read_at = self._now_seconds()

    def _take(self, active: ActiveSet | None) -> None:
        self._read_at = self._now_seconds()
        if active is not None and (self._rules is None or self._rules.digest != active.digest):
            self._rules = Rules.compile(active, self._engine)


def to_json(explained: dict[str, Any] | None) -> str | None:
    """Write what `explain` returned as JSON text."""
    return None if explained is None else orjson.dumps(explained).decode()


def _as_bytes(value: bytes | str) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)


def _of(found: Preview, model: str | None = None) -> dict[str, Any]:
    return _explained(found.agent, found.path, found.reason, found, model)


def _explained(
    agent: str | None,
    path: str | None,
    reason: str,
    found: Preview | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    listed = () if found is None else found.candidates
    weighed = None if found is None else found.weighed
    candidates = [item.model_dump(mode="json", exclude_none=True) for item in listed]
    return {
        "agent": agent,
        "path": path,
        "reason": reason,
        "candidates": candidates,
        "accepted_total": None if weighed is None else len(weighed.accepted),
        "rejected_total": None if weighed is None else weighed.rejected_total,
        "model": model,
    }
