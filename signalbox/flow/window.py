"""A window of time as plain numbers. Times are ms since 1970, lengths ms; a minute is named by its beginning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
UNDECIDED_MS: Final = MINUTE_MS
"""A message without any record after it is undecided once it is so old: a slow model's call with its retries is through by then."""
OPEN_MS: Final = 24 * HOUR_MS
"""What is open for longer is no flow any more: dead letters and reviews have lists of their own."""
MAX_OPEN: Final = 1000
"""At most so many conversations are looked into for what is open in them, those that were spoken in last."""
MAX_HOPS: Final = 1000
"""Of at most so many tasks of a window, the newest, the hop is measured: p95 is of fifty then."""

MESSAGE: Final = "message "
DECISION: Final = "decision "
NONE_FLOW: Final = "decision NONE"
DEAD_LETTER: Final = "dead letter "
OUTCOME: Final = "outcome "


@dataclass(frozen=True, slots=True)
class Seen:
    """How many there are, one of them by its name, and how long the oldest is waiting, where that means something."""

    number: int = 0
    example: str | None = None
    oldest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Minute:
    """What came of one flow in one minute. `example` is a conversation, the first by its name."""

    begin_ms: int
    number: int
    example: str | None = None


Minutes = Mapping[str, tuple[Minute, ...]]
"""Flow (`message lead.submitted`, `decision contract`, `decision NONE`, `dead letter late`, `outcome completed`) → its minutes
in order. As in sql/questions/unusual_minutes.sql; a minute in which nothing came is not there.
"""


@dataclass(frozen=True, slots=True)
class Hops:
    """How long messages waited for their tasks, from record to record."""

    number: int = 0
    p50_ms: int = 0
    p95_ms: int = 0


@dataclass(frozen=True, slots=True)
class FlowWindow:
    """What happened from `begin_ms`, the beginning of a minute, until `end_ms`, and what is open at its end.

    Attributes:
        begin_ms: included.
        end_ms: not included; now.
        messages: that came.
        paths: decisions by path.
        none: those among them that gave the message to nobody.
        outcomes: by status, the example a conversation.
        dead_letters: that came and that nobody replayed or discarded, by reason; the example is a place, `partition:offset`.
        undecided: conversations whose last message has had no record after it for `UNDECIDED_MS`.
        overdue: tasks past their deadline by agent, the example a conversation.
        silent: open tasks of agents that send no heartbeat, by agent, the example a conversation.
        questions: to people, open; the example is what it is answered by.
        late_questions: those of them with more than half of their time gone.
        hops: of the window.
        hops_before: of the window of the same length before.
        minutes: of each flow, those of the hour before the window too.
        left_out: conversations with something open that were not looked into, beyond `MAX_OPEN`.
    """

    begin_ms: int
    end_ms: int
    messages: int = 0
    paths: Mapping[str, int] = field(default_factory=dict)
    none: int = 0
    outcomes: Mapping[str, Seen] = field(default_factory=dict)
    dead_letters: Mapping[str, Seen] = field(default_factory=dict)
    undecided: Seen = Seen()
    overdue: Mapping[str, Seen] = field(default_factory=dict)
    silent: Mapping[str, Seen] = field(default_factory=dict)
    questions: Seen = Seen()
    late_questions: Seen = Seen()
    hops: Hops = Hops()
    hops_before: Hops = Hops()
    minutes: Minutes = field(default_factory=dict)
    left_out: int = 0

    @classmethod
    def of(cls, span: Span, minutes: Minutes, **more: Any) -> FlowWindow:
        """Return a window whose counts are those of its minutes; `more` are the other fields."""
        begin_ms = span.begin_ms
        paths = within(minutes, DECISION, begin_ms)
        none = (one for one in minutes.get(NONE_FLOW, ()) if one.begin_ms >= begin_ms)
        return cls(
            begin_ms,
            span.end_ms,
            messages=sum(one.number for one in within(minutes, MESSAGE, begin_ms).values()),
            paths={path: one.number for path, one in paths.items()},
            none=sum(one.number for one in none),
            outcomes=within(minutes, OUTCOME, begin_ms),
            minutes=minutes,
            **more,
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing came, was decided or ended."""
        return not (self.messages or self.paths or self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """Write its numbers for programs; the minutes are left out."""
        counted = ("messages", "paths", "none", "left_out")
        seen = ("undecided", "questions", "late_questions", "hops", "hops_before")
        by_name = ("outcomes", "dead_letters", "overdue", "silent")
        return {
            **{name: getattr(self, name) for name in counted},
            **{name: asdict(getattr(self, name)) for name in seen},
            **{
                name: {key: asdict(one) for key, one in getattr(self, name).items()}
                for name in by_name
            },
        }


@dataclass(frozen=True, slots=True)
class Span:
    """A window, and from when on records count for it."""

    begin_ms: int
    end_ms: int

    @classmethod
    def last(cls, length_ms: int, now_ms: int) -> Span:
        """Return the window of this length that ends now; it begins with a minute, so it is up to one longer."""
        return cls((now_ms - length_ms) // MINUTE_MS * MINUTE_MS, now_ms)

    @property
    def minutes_ms(self) -> int:
        """From when on minutes are counted: an hour before the window, to compare with."""
        return self.begin_ms - HOUR_MS

    @property
    def before_ms(self) -> int:
        """Where the window of equal length before begins."""
        return 2 * self.begin_ms - self.end_ms

    @property
    def open_ms(self) -> int:
        """From when on something is looked for that is open now."""
        return self.end_ms - OPEN_MS


def within(minutes: Minutes, kind: str, begin_ms: int) -> dict[str, Seen]:
    """Return what came of each flow of a kind (`MESSAGE`, …) since `begin_ms`, without the kind's name; what did not is left out."""
    found: dict[str, Seen] = {}
    for flow, each in minutes.items():
        own = [minute for minute in each if minute.begin_ms >= begin_ms]
        if flow.startswith(kind) and flow != NONE_FLOW and own:
            examples = [minute.example for minute in own if minute.example is not None]
            number = sum(minute.number for minute in own)
            found[flow.removeprefix(kind)] = Seen(number, min(examples, default=None))
    return found


def hops_of(waited_ms: Iterable[int]) -> Hops:
    """Return the hops that waited so long."""
    times = sorted(waited_ms)
    if not times:
        return Hops()
    return Hops(len(times), _at(times, 50), _at(times, 95))


def _at(times: list[int], percent: int) -> int:
    """Return the smallest time within which at least so many of a hundred were."""
    return times[max(0, -(-percent * len(times) // 100) - 1)]
