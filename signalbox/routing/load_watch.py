"""How busy, reliable and fast the agents are that share work with others, from their heartbeats. Pure; time is an argument.

Kept in memory only: after a start everybody is as good as another until the heartbeats of the next seconds say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.liveness import Load
from signalbox.definitions.fleet import MAX_AGENTS
from signalbox.routing.watch import MAX_INSTANCES, SILENT_AFTER_SECONDS

_SOME: Final = 0.5
"""Of a task: what is left of less than that tells nothing."""
SILENT_AFTER_MS: Final = int(SILENT_AFTER_SECONDS * 1000)
"""A process that says nothing for so long takes no work; whether its agent failed is for `watch` to say."""
TELL_EVERY_MS: Final = 1_000
HALF_LIFE_MS: Final = 300_000
"""What happened so long ago counts half: an agent that was mended is not avoided for ever."""


@dataclass(slots=True)
class _Process:
    last: Heartbeat
    at_ms: int


@dataclass(slots=True)
class _Seen:
    """Of one agent: its processes, and what they did lately."""

    processes: dict[str, _Process] = field(default_factory=dict)
    handled: float = 0.0
    failed: float = 0.0
    busy_ms: float = 0.0
    at_ms: int = 0


class LoadWatch:
    """What heartbeats with a `capability` say."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._told: Mapping[str, Load] = {}
        self._looked_at_ms = 0

    def beat(self, beat: Heartbeat, now_ms: int) -> None:
        """Take a heartbeat that arrived now; one without a capability says that its agent shares no work."""
        if beat.capability is None:
            self._seen.pop(beat.agent, None)
            return
        seen = self._seen.get(beat.agent)
        if seen is None:
            if len(self._seen) >= MAX_AGENTS:
                return
            seen = self._seen[beat.agent] = _Seen(at_ms=now_ms)
        before = seen.processes.get(beat.instance)
        if before is None and len(seen.processes) >= MAX_INSTANCES:
            return
        seen.processes[beat.instance] = _Process(beat, now_ms)
        self._add(seen, None if before is None else before.last, beat, now_ms)

    def news(self, now_ms: int) -> Mapping[str, Load] | None:
        """Return how everybody does, where it differs from what was told; looked at once in `TELL_EVERY_MS`, however often asked."""
        if not (self._seen or self._told) or now_ms - self._looked_at_ms < TELL_EVERY_MS:
            return None
        self._looked_at_ms = now_ms
        loads = {name: self._load(seen, now_ms) for name, seen in self._seen.items()}
        if loads == self._told:
            return None
        self._told = loads
        return loads

    @staticmethod
    def _add(seen: _Seen, before: Heartbeat | None, beat: Heartbeat, now_ms: int) -> None:
        fading = 0.5 ** (max(0, now_ms - seen.at_ms) / HALF_LIFE_MS)
        seen.at_ms = now_ms
        if before is None:
            counted = _counts(beat)  # nobody knows when it did that
        elif beat.handled < before.handled:
            counted = (0, 0, 0)  # it began anew
        else:
            counted = _counts(before)
        handled, failed, busy_ms = (
            max(0, now - then) for now, then in zip(_counts(beat), counted, strict=True)
        )
        seen.handled = seen.handled * fading + handled
        seen.failed = seen.failed * fading + failed
        seen.busy_ms = seen.busy_ms * fading + busy_ms

    @staticmethod
    def _load(seen: _Seen, now_ms: int) -> Load:
        heard = [
            one.last for one in seen.processes.values() if now_ms - one.at_ms < SILENT_AFTER_MS
        ]
        working = [one for one in heard if not (one.paused or one.draining)]
        room = sum(one.max_concurrent for one in working)
        busy = min(1.0, sum(one.active for one in working) / room) if room else 1.0
        # As if one more task had gone well: who did nothing yet is trusted, and one failure is not the end.
        reliability = (seen.handled - seen.failed + 1) / (seen.handled + 1)
        took_ms = round(seen.busy_ms / seen.handled) if seen.handled >= _SOME else None
        # Rounded, so that what hardly changed is not told to every subtask.
        return Load(round(busy * 20) / 20, round(reliability, 2), _two_digits(took_ms))


def _counts(beat: Heartbeat) -> tuple[int, int, int]:
    return beat.handled, beat.failed, beat.busy_ms or 0


def _two_digits(number: int | None) -> int | None:
    return None if number is None else int(float(f"{number:.1e}"))
