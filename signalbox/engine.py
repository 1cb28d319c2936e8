"""The settings' share of how decisions are made; the same in the job, in SQL's functions and in what-if replay."""

from __future__ import annotations

from signalbox.routing.rules import EnginePolicy
from signalbox.settings import Settings


def engine_policy(settings: Settings) -> EnginePolicy:
    """Return what settings, not fleets, decide."""
    return EnginePolicy(
        policy=settings.routing.policy,
        model_timeout_seconds=settings.model.timeout_seconds,
        model_max_attempts=settings.model.max_attempts,
    )
