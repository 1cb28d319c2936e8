"""`GET /flow-health`: how well messages flow in the last minutes or hours, and what to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Final, cast

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from signalbox.contracts.record import to_epoch_ms
from signalbox.flow.health import Health, assess, told
from signalbox.flow.window import MINUTE_MS, FlowWindow, Span
from signalbox.gateway.agents import instances_now
from signalbox.gateway.flow_shapes import FlowHealthView
from signalbox.gateway.kept import Kept
from signalbox.gateway.parts import Parts
from signalbox.gateway.readmodel.flow import flow_window
from signalbox.gateway.readmodel.minutes import MinuteCounts
from signalbox.gateway.routing import Reader, answer

router: Final = APIRouter(tags=["gateway"])
KEPT_SECONDS: Final = 5.0
_SHOWN_SECONDS: Final = 60.0
MAX_MINUTES: Final = 24 * 60
Length = Annotated[
    int, Query(ge=1, le=MAX_MINUTES, description="How much of the past, in minutes.")
]


class FlowHealth:
    """Windows and how healthy they are, each asked at most every `KEPT_SECONDS`, once for everybody. Thread-safe."""

    def __init__(self, parts: Parts, now: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._counts = MinuteCounts()
        # Anybody may ask for any number of minutes.
        self._kept = Kept(self._ask, KEPT_SECONDS, shown_seconds=_SHOWN_SECONDS, now=now)

    def get(self, minutes: int) -> tuple[FlowWindow, Health]:
        """Return the window of the last so many minutes, and how healthy it is.

        Raises:
            NotReadyError: the read model is not there yet.
        """
        return self._kept.get(minutes)

    def _ask(self, minutes: int) -> tuple[FlowWindow, Health]:
        parts = self._parts
        span = Span.last(minutes * MINUTE_MS, to_epoch_ms(parts.now()))
        living = {name for name, beats in instances_now(parts).items() if beats}
        window = flow_window(parts.read_model, self._counts, span, living)
        return window, assess(window)


def flow_health_of(request: Request) -> FlowHealth:
    """Return the windows of the application that serves a request."""
    return cast("FlowHealth", request.app.state.flow_health)


@router.get("/flow-health", responses={200: {"model": FlowHealthView}})
def get_flow_health(request: Request, caller: Reader, minutes: Length = 15) -> Response:
    """Say how well messages flow: up to 100 points, a finding for what is missing of them, and the next step for each."""
    return answer(told(*flow_health_of(request).get(minutes)))
