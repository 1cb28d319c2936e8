"""Which agents are there: heartbeats as they arrive, and silences that are long enough. Pure; time is an argument.

A silence is measured in time in which heartbeats could have come through, not by anybody's clock: of the time between two records of
the topic, whoever wrote them, at most `MAX_GAP_MS` counts. So neither an outage of the broker nor a job that was down makes anybody
dead, and a start is a gap like another. Where nobody at all is heard, the watch writes a record itself (`wants_echo`): if that comes
back, the others are silent, not the broker.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from signalbox.contracts.envelope import Envelope
from signalbox.contracts.events import LIFECYCLE_PREFIX, AgentLifecycle, LifecycleKind, new_event
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.ids import event_id
from signalbox.contracts.liveness import Standing
from signalbox.contracts.record import from_epoch_ms

SILENT_AFTER_SECONDS: Final = 15.0
"""A heartbeat comes every 2 s; after this long without one an agent's process is gone or stuck."""
MAX_GAP_MS: Final = 5_000
ECHO_AFTER_MS: Final = 3_000
MAX_WATCHED: Final = 10_000
"""Agents; the active set has at most 2,000. Heartbeats of more names than that are somebody's mistake."""
MAX_INSTANCES: Final = 1_000
"""Processes of one agent."""
MAX_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Change:
    """An agent stands differently now: `kind` is what happened, `standing` what is remembered of it."""

    kind: LifecycleKind
    standing: Standing
    instances: tuple[str, ...]

    def event(self, now_ms: int) -> Envelope:
        """Return the event that tells of it; found twice, it has the same id."""
        standing = self.standing
        name = event_id("agent", standing.agent, str(standing.number), self.kind)
        since = from_epoch_ms(standing.since_ms)
        data = AgentLifecycle(agent=standing.agent, instances=self.instances, since=since)
        return new_event(name, f"{LIFECYCLE_PREFIX}{self.kind}", data, now_ms)


@dataclass(slots=True)
class _Heard:
    """When an agent's processes were heard last: by the time that counts, and for the agent by the clock."""

    counted_ms: dict[str, int] = field(default_factory=dict)
    at_ms: int = 0


class Watch:
    """The watch over every agent. `standings` are what durable state holds; all else is memory, and a start is gentle.

    Args:
        standings: of every agent that was ever heard.
        now_ms: the time of the start.
        silent_after_seconds: how long is too long.
    """

    def __init__(
        self,
        standings: Iterable[Standing],
        now_ms: int,
        *,
        silent_after_seconds: float = SILENT_AFTER_SECONDS,
    ) -> None:
        self._silent_after_ms = int(silent_after_seconds * 1000)
        self._standings = {one.agent: one for one in standings}
        self._counted_ms = 0
        self._last_record_ms = now_ms
        self._last_echo_ms = now_ms
        self._heard = {
            name: _Heard({}, now_ms)
            for name, one in self._standings.items()
            if one.status == "alive"
        }

    @property
    def failed(self) -> dict[str, int]:
        """Who failed, each with since when, ms since 1970."""
        return {
            name: one.since_ms for name, one in self._standings.items() if one.status == "failed"
        }

    def echo(self, now_ms: int) -> None:
        """Take a record of the topic that is no agent's: it came through."""
        self._pass_time(now_ms)

    def beat(self, beat: Heartbeat, now_ms: int) -> Change | None:
        """Take a heartbeat that arrived now; return what it changes."""
        self._pass_time(now_ms)
        before = self._standings.get(beat.agent)
        if before is None and len(self._standings) >= MAX_WATCHED:
            return None
        heard = self._heard.setdefault(beat.agent, _Heard())
        if beat.instance in heard.counted_ms or len(heard.counted_ms) < MAX_INSTANCES:
            heard.counted_ms[beat.instance] = self._counted_ms
        heard.at_ms = now_ms
        if before is not None and before.status == "alive":
            if before.draining == beat.draining:
                return None
            # Remembered, because a restart may be all that comes between this and the end.
            self._standings[beat.agent] = before.model_copy(update={"draining": beat.draining})
            return None
        kind: LifecycleKind = (
            "recovered" if before is not None and before.status == "failed" else "joined"
        )
        return self._changed(kind, beat.agent, now_ms, (beat.instance,), draining=beat.draining)

    def look(self, now_ms: int) -> list[Change]:
        """Return whose silence became too long by now."""
        counted_ms = self._counted_ms + self._gap(now_ms)
        changes = []
        for name, heard in list(self._heard.items()):
            spoke = heard.counted_ms
            # Of who was never heard since the start, the silence began with it.
            if counted_ms - max(spoke.values(), default=0) < self._silent_after_ms:
                if len(spoke) > 1:
                    self._forget_silent_instances(heard, counted_ms)
                continue
            del self._heard[name]
            kind: LifecycleKind = "left" if self._standings[name].draining else "failed"
            changes.append(self._changed(kind, name, heard.at_ms, tuple(sorted(spoke))))
        return changes

    def wants_echo(self, now_ms: int) -> bool:
        """Say whether to write a record of our own now: somebody should be heard, and nobody is."""
        quiet_ms = now_ms - max(self._last_record_ms, self._last_echo_ms)
        if not self._heard or quiet_ms < ECHO_AFTER_MS:
            return False
        self._last_echo_ms = now_ms
        return True

    def standing(self, agent: str) -> Standing | None:
        """Return what is to be remembered of an agent."""
        return self._standings.get(agent)

    def _forget_silent_instances(self, heard: _Heard, counted_ms: int) -> None:
        for instance, last_ms in list(heard.counted_ms.items()):
            if counted_ms - last_ms >= self._silent_after_ms:
                del heard.counted_ms[instance]

    def _gap(self, now_ms: int) -> int:
        return min(MAX_GAP_MS, max(0, now_ms - self._last_record_ms))

    def _pass_time(self, now_ms: int) -> None:
        self._counted_ms += self._gap(now_ms)
        self._last_record_ms = now_ms

    def _changed(
        self,
        kind: LifecycleKind,
        agent: str,
        since_ms: int,
        instances: tuple[str, ...],
        *,
        draining: bool = False,
    ) -> Change:
        before = self._standings.get(agent)
        status = kind if kind in {"failed", "left"} else "alive"
        standing = Standing(
            agent=agent,
            status=status,
            number=1 if before is None else before.number + 1,
            since_ms=since_ms,
            draining=draining,
        )
        self._standings[agent] = standing
        return Change(kind, standing, instances[:MAX_LISTED])
