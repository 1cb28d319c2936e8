"""What is in flight, waiting and dead now: asked at most every two seconds, once for everybody who looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.record import to_epoch_ms
from signalbox.gateway.agents import instances_now
from signalbox.gateway.kept import Kept
from signalbox.gateway.parts import Parts

KEPT_SECONDS: Final = 2.0
_OPEN_MS: Final = 60 * 60 * 1000
"""An older task without an answer is no work that waits: its conversation is over."""


class Levels:
    """Levels of everything, by `as_json`'s names. Thread-safe."""

    def __init__(self, parts: Parts, now: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._kept = Kept[None, dict[str, Any]](lambda _: self._ask(), KEPT_SECONDS, now=now)

    def get(self) -> dict[str, Any]:
        """Return the levels, not older than `KEPT_SECONDS`; while somebody asks for new ones, those that were known before."""
        return self._kept.get(None)

    def _ask(self) -> dict[str, Any]:
        parts = self._parts
        model = parts.read_model
        waiting = model.open_tasks(to_epoch_ms(parts.now()) - _OPEN_MS)
        agents = [
            agent_level(name, beats, waiting.get(name, 0))
            for name, beats in instances_now(parts).items()
        ]
        return {
            "agents": agents,
            "dead_letters": sum(model.dead_letter_counts().values()),
            "broker": "up" if parts.publisher.trouble is None else "away",
            **model_levels(parts.engine_levels()),
        }


def model_levels(found: Mapping[str, int]) -> dict[str, Any]:
    """Write what the job says of its model; None where it does not answer."""
    breaker = found.get("signalbox.model_breaker_open")
    return {
        "model_in_flight": found.get("signalbox.model_in_flight"),
        "model_waiting": found.get("signalbox.model_waiting"),
        "breaker": None if breaker is None else ("open" if breaker else "closed"),
    }


def agent_level(name: str, living: Sequence[Heartbeat], open_tasks: int) -> dict[str, Any]:
    """Write what an agent does now; `open_tasks` have no answer."""
    active = sum(beat.active for beat in living)
    return {
        "name": name,
        "state": _state(living),
        "instances": len(living),
        "active": active,
        "at_most": sum(beat.max_concurrent for beat in living),
        # What has no answer and is in nobody's hands.
        "waiting": max(0, open_tasks - active),
    }


def _state(living: Sequence[Heartbeat]) -> str:
    if not living:
        return "silent"
    if all(beat.draining for beat in living):
        return "draining"
    return "paused" if all(beat.paused for beat in living) else "active"
