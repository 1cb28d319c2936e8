"""The numbers of a window as a score: what is found, what it costs, and that the page names all of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.cli.main import COMMANDS
from signalbox.flow.health import Finding, assess, told
from signalbox.flow.kinds import KINDS
from signalbox.flow.unusual import unusual
from signalbox.flow.window import MINUTE_MS, FlowWindow, Hops, Minute, Seen, Span, hops_of

ROOT = Path(__file__).parents[2]
BEGIN = 60 * MINUTE_MS
QUIET = FlowWindow(BEGIN, BEGIN + 15 * MINUTE_MS)
BUSY = replace(
    QUIET,
    messages=1000,
    paths={"contract": 900},
    none=100,
    outcomes={"completed": Seen(99, "c-1"), "none": Seen(1, "c-2")},
    hops=Hops(1000, 20, 100),
    hops_before=Hops(1000, 20, 90),
)
TROUBLES = {
    "undecided": {"undecided": Seen(3, "c-3", 90_000)},
    "agent-silent": {"silent": {"writer": Seen(2, "c-4", 30_000)}},
    "tasks-overdue": {"overdue": {"writer": Seen(1, "c-5", 70_000)}},
    "dead-letters": {"dead_letters": {"handler_failed": Seen(1, "0:7")}},
    "ended-badly": {"outcomes": {"completed": Seen(90, "c-1"), "failed": Seen(10, "c-6")}},
    "ended-none": {"outcomes": {"completed": Seen(5, "c-1"), "none": Seen(5, "c-7")}},
    "slow-hops": {"hops": Hops(1000, 900, 6000)},
    "questions-late": {"questions": Seen(2, "m-1", 9), "late_questions": Seen(1, "m-1", 9)},
    "unusual-minute": {
        "minutes": {
            "message lead": tuple(
                Minute(number * MINUTE_MS, 40 if number == 65 else 3, f"c-{number}")
                for number in range(70)
            )
        }
    },
}


def steady(*counts: int) -> tuple[Minute, ...]:
    """Minutes of these counts, one after the other from 0 on."""
    return tuple(Minute(number * MINUTE_MS, count) for number, count in enumerate(counts))


def test_a_window_in_which_nothing_happened_has_full_points_and_says_so() -> None:
    """No division by nothing: 100, no finding, idle."""
    health = assess(QUIET)

    assert (health.score, health.findings, health.is_idle) == (100, (), True)


def test_a_window_that_flows_has_full_points_and_is_not_idle() -> None:
    """A NONE among a hundred and a hop a little slower than before are no findings."""
    health = assess(BUSY)

    assert (health.score, health.findings, health.is_idle) == (100, (), False)


@pytest.mark.parametrize(("code", "trouble"), TROUBLES.items(), ids=list(TROUBLES))
def test_each_trouble_is_found_as_itself_and_costs_what_its_kind_allows(code, trouble) -> None:
    """One finding of that code, its points off the score, with the example in the remedy where it asks about one."""
    health = assess(replace(BUSY, **trouble))

    [finding] = health.findings
    assert finding.code == code
    assert 0 < finding.points <= KINDS[code].at_most
    assert health.score == 100 - finding.points


def test_every_kind_of_finding_is_tried_above() -> None:
    """A new kind needs its case."""
    assert set(TROUBLES) == set(KINDS)


def test_remedies_name_commands_and_pages_that_exist() -> None:
    """What a finding tells a person to type is a command of ours, what it tells to read a page."""
    everything = replace(BUSY, **{k: v for one in TROUBLES.values() for k, v in one.items()})
    texts = [one.remedy for one in assess(everything).findings]
    texts += [one.remedy for one in KINDS.values()]

    for text in texts:
        named = re.findall(r"signalbox ([a-z]+)", text)
        assert named or "docs/" in text
        assert set(named) <= COMMANDS.keys()
        for page in re.findall(r"docs/[\w-]+\.md", text):
            assert (ROOT / page).is_file()


def test_a_sick_flow_has_no_points_and_never_fewer() -> None:
    """Twenty silent agents cost more than there is."""
    silent = {f"agent_{number}": Seen(1, "c") for number in range(20)}

    assert assess(replace(BUSY, silent=silent)).score == 0


def test_a_few_conversations_or_hops_say_nothing_about_a_share() -> None:
    """One of two failed, and one slow hop, are chance."""
    few = replace(
        BUSY, outcomes={"completed": Seen(1, "a"), "failed": Seen(1, "b")}, hops=Hops(3, 1, 9000)
    )

    assert assess(few).findings == ()


def test_a_hop_twice_as_slow_as_before_is_found_where_anybody_notices() -> None:
    """From 0.9 to 2 s is found though 5 s are allowed; from 90 to 400 ms is not."""
    [finding] = assess(
        replace(BUSY, hops=Hops(50, 500, 2000), hops_before=Hops(50, 400, 900))
    ).findings

    assert (finding.code, finding.value, finding.limit) == ("slow-hops", 2000, 1800)
    assert assess(replace(BUSY, hops=Hops(50, 90, 400))).findings == ()


def test_unusual_is_what_breaks_with_its_own_hour_only() -> None:
    """As the SQL: 3 a minute then 30 is; 1 then 2 is not; nor what has no ten minutes, or is not over, or came before."""
    minutes = {
        "a": steady(*[3] * 60, 30, 3),
        "b": steady(*[1] * 60, 2, 3),
        "c": tuple(
            Minute((52 + number) * MINUTE_MS, 1 if number < 9 else 50) for number in range(10)
        ),
        "d": steady(*[3] * 61, 99),
        "e": steady(*[3] * 30, 30, *[3] * 31),
        "f": steady(*[100] * 60, 1),
    }
    found = unusual(minutes, BEGIN, BEGIN + MINUTE_MS + 5000)

    assert [(one.flow, one.minute.begin_ms) for one in found] == [("a", BEGIN), ("f", BEGIN)]
    assert (found[0].usual, found[0].z) == (3.0, pytest.approx(27 / 3**0.5))
    assert found[1].z == pytest.approx(-9.9)


def test_unusual_looks_back_sixty_minutes_and_no_further() -> None:
    """What was usual before the last sixty minutes of the flow is forgotten."""
    old = steady(*[500] * 10, *[3] * 60, 30)

    [one] = unusual({"a": old}, 70 * MINUTE_MS, 71 * MINUTE_MS)

    assert one.usual == 3.0


def test_the_window_begins_with_a_minute() -> None:
    """So that counts by the minute are counts of the window; the window before ends there and is as long."""
    span = Span.last(15 * MINUTE_MS, 100 * MINUTE_MS + 7)

    assert (span.begin_ms, span.end_ms) == (85 * MINUTE_MS, 100 * MINUTE_MS + 7)
    assert span.begin_ms - span.before_ms == span.end_ms - span.begin_ms
    assert span.minutes_ms == 25 * MINUTE_MS


def test_hops_are_the_smallest_times_within_which_so_many_were() -> None:
    """Of one to twenty: half within 10, nineteen of twenty within 19; of none nothing."""
    assert hops_of(range(1, 21)) == Hops(20, 10, 19)
    assert hops_of([7]) == Hops(1, 7, 7)
    assert hops_of([]) == Hops()


SEEN = st.builds(Seen, st.integers(1, 10**6), st.just("x"), st.integers(0, 10**9))
NAMED = st.dictionaries(st.sampled_from(["writer", "failed", "none", "late", "completed"]), SEEN)


@given(
    st.builds(
        FlowWindow,
        st.just(BEGIN),
        st.just(BEGIN + 15 * MINUTE_MS),
        messages=st.integers(0, 10**6),
        outcomes=NAMED,
        dead_letters=NAMED,
        undecided=st.one_of(st.just(Seen()), SEEN),
        overdue=NAMED,
        silent=NAMED,
        late_questions=st.one_of(st.just(Seen()), SEEN),
        hops=st.builds(Hops, st.integers(0, 99), st.integers(0, 99), st.integers(0, 10**7)),
        hops_before=st.builds(Hops, st.integers(0, 99), st.integers(0, 99), st.integers(0, 10**7)),
        minutes=st.dictionaries(
            st.text(max_size=3),
            st.lists(st.integers(1, 999), max_size=70).map(lambda c: steady(*c)),
        ),
    )
)
def test_any_window_has_a_score_and_bounded_findings(window: FlowWindow) -> None:
    """0 to 100, each finding within its kind, dearest first, and the score is what they leave."""
    health = assess(window)
    points = [one.points for one in health.findings]

    assert health.score == max(0, 100 - sum(points))
    assert points == sorted(points, reverse=True)
    assert all(0 < one.points <= KINDS[one.code].at_most for one in health.findings)


def test_the_page_has_every_finding_with_its_limit_points_and_remedy() -> None:
    """The table of docs/flow-health.md is the list in the code, row by row."""
    rows = re.findall(
        r"^\| `([a-z-]+)` .*$", (ROOT / "docs/flow-health.md").read_text("utf-8"), re.MULTILINE
    )
    text = (ROOT / "docs/flow-health.md").read_text("utf-8")

    assert rows == list(KINDS)
    for code, kind in KINDS.items():
        row = f"| `{code}` | {kind.means} | {kind.limit} | {kind.at_most} | {kind.remedy} |"
        assert row in text, row


def test_a_finding_is_json_by_its_fields() -> None:
    """Programs read the same names everywhere."""
    window = replace(BUSY, **TROUBLES["dead-letters"])
    [one] = told(window, assess(window))["findings"]

    assert set(one) == set(Finding.__slots__)
