"""Filters of a subscription: what each kind says, what none may do, and the text form of a composite."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.definitions.filters.event_types import TypeIndex, TypePattern
from signalbox.definitions.filters.json_path import MAX_NODES
from signalbox.definitions.filters.specs import FilterSpec, compile_filters
from signalbox.definitions.filters.view import MAX_STEPS, FilterFailureError, MessageView
from signalbox.definitions.filters.where import parse_where
from tests.support.fleets import agent, message

TICK = {
    "symbol": "AAPL",
    "price": 190.5,
    "volume": 1_600,
    "avg_volume": 1_000,
    "note": "High Volatility expected",
    "tags": ["tech", "NASDAQ"],
    "legs": [{"side": "buy", "size": 5}, {"side": "sell", "size": 120}],
}


def says(*filters: dict[str, Any], data: Any = TICK, **more: Any) -> bool:
    check = compile_filters(tuple(map(FilterSpec.model_validate, filters)))
    return check.asks(MessageView(message("m", data, **{"type": "market.tick", **more})))


def where(text: str, data: Any = TICK, **more: Any) -> bool:
    return says({"where": text}, data=data, **more)


@pytest.mark.parametrize(
    ("spec", "is_match"),
    [
        ({"event_type": "market.tick"}, True),
        ({"event_type": "market.*"}, True),
        ({"event_type": "market"}, False),
        ({"event_type": "*.tick"}, True),
        ({"event_type": "m?rket.t[ai]ck"}, True),
        ({"event_type": "MARKET.*"}, True),
        ({"event_type": ["order.*", "market.tick"]}, True),
        ({"content": "volatility"}, True),
        ({"content": "volatility", "case_sensitive": True}, False),
        ({"content": "Volatility", "case_sensitive": True}, True),
        ({"content": '"symbol":"AAPL"'}, True),
        ({"json_path": "$.legs[?@.size > 100]"}, True),
        ({"json_path": "$.legs[?@.size > 1000]"}, False),
        ({"json_path": "$..size", "one_of": [120]}, True),
        ({"json_path": "$.symbol", "one_of": ["msft", "aapl"]}, True),
        ({"json_path": "$.symbol", "one_of": ["msft", "aapl"], "case_sensitive": True}, False),
        ({"json_path": "$.missing", "one_of": [None]}, False),
        ({"json_path": "$.note", "regex": r"^high \w+"}, True),
        ({"json_path": "$.symbol", "regex": "volat"}, False),
        ({"json_path": "$.legs[?match(@.side, 'b.y')]"}, True),
        ({"json_path": "$.legs[?match(@.side, 'b.')]"}, False),
        ({"json_path": "$.legs[?search(@.side, 'el')]"}, True),
        ({"regex": r"volat\w+ty"}, True),
        ({"regex": r"volat\w+ty", "case_sensitive": True}, False),
        ({"all": [{"content": "tech"}, {"event_type": "market.*"}]}, True),
        ({"all": [{"content": "tech"}, {"event_type": "order.*"}]}, False),
        ({"any": [{"content": "oil"}, {"event_type": "market.*"}]}, True),
        ({"not": {"content": "oil"}}, True),
        ({"where": "type = market.* AND NOT data.symbol = MSFT"}, True),
    ],
)
def test_filter_says_yes_or_no_and_negate_turns_it_round(spec, is_match):
    """Each kind answers as documented; with `negate` it says the opposite."""
    assert says(spec) is is_match
    assert says({**spec, "negate": not spec.get("negate", False)}) is not is_match


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("(type=alert AND priority>5) OR source=monitoring", False),
        ("(type=market.tick AND priority>4) OR source=monitoring", True),
        ("data.volume > 1.5 * data.avg_volume", True),
        ("data.volume > 1.7 * data.avg_volume", False),
        ("data.volume>1.5*data.avg_volume", True),
        ("data.price >= 190.5 and data.price <= 190.5", True),
        ("data.symbol IN (msft, aapl)", True),
        ("data.symbol NOT IN (msft, 'aapl')", False),
        ("data.missing NOT IN (a)", False),
        ("data.missing != 1", False),
        ("NOT data.missing = 1", True),
        ("exists data.missing", False),
        ("EXISTS data.legs.1.size", True),
        ("data.legs.1.size = 120", True),
        ("data.legs.9.size = 120", False),
        ("data.note contains VOLATILITY", True),
        ("data.tags CONTAINS nasdaq", True),
        ("data.symbol < B", True),
        ("data.volume != data.avg_volume", True),
        ("source = cli", True),
        ("replystatus = partial", False),
        ("not (priority = 1 or priority = 2) and priority = 5", True),
        ("priority = 1 OR priority = 5 AND priority = 2", False),
    ],
)
def test_text_form_of_a_composite_says_what_it_reads_like(text, is_match):
    """AND binds closer than OR, words may be small, a missing field fulfils no comparison."""
    assert where(text) is is_match


def test_source_is_compared_whole_or_by_what_follows_its_kind():
    """`monitoring` fits `connector/monitoring`; `connector/monitoring` fits itself alone."""
    assert where("source = monitoring", source="connector/monitoring")
    assert where("source = connector/monitoring", source="connector/monitoring")
    assert not where("source = agent/monitoring", source="connector/monitoring")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a field, got 'the end'"),
        ("severity > 5", "data.severity"),
        ("data.x > 5 AND", "character 15"),
        ("data.x > 5)", "expected AND, OR or the end, got ')'"),
        ("(data.x > 5", "expected `)`"),
        ("data.x 5", "expected =, !="),
        ("data.x = ", "expected a value"),
        ("data.x IN 5", "expected `(`"),
        ("data.x = 5 # no", "is not understood"),
        ("data.x = 'open", "is not understood"),
        ("data..x = 1", "is no field"),
        ("NOT " * 50 + "data.x = 1", "levels of brackets"),
        ("data.x = 1 OR " * 200 + "data.x = 1", "at most 2000"),
        ("type = 'a b'", "is no pattern of event types"),
    ],
)
def test_wrong_expression_is_refused_with_its_place(text, words):
    """The message says at which character what was expected."""
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_where(text, case_sensitive=False)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "exactly one of"),
        ({"content": "a", "regex": "b"}, "exactly one of"),
        ({"event_type": []}, "event_type names no type"),
        ({"event_type": "no spaces"}, "is no pattern of event types"),
        ({"content": "a", "one_of": ["b"]}, "one_of stands beside json_path"),
        ({"json_path": "$.a", "one_of": ["b"], "regex": "c"}, "one_of stands beside json_path"),
        ({"json_path": "symbol"}, "is no JSONPath"),
        ({"json_path": "$.a | $.b"}, "is no"),
        ({"json_path": "$" + ".a" * 400}, "at most 500"),
        ({"regex": "(?=a)b"}, "look-around and back-references"),
        ({"regex": r"(a)\1"}, "look-around and back-references"),
        ({"regex": "(a"}, "is not a regular expression"),
        ({"regex": r"(\w{1,100}){1,100}"}, "too large"),
        ({"regex": "a" * 501}, "at most 500"),
        ({"any": [{"content": "x"}] * 60 + [{"all": [{"content": "y"}] * 60}]}, "at most 100"),
        ({"any": [{"content": "x"}] * 10_000}, "at most 100"),
        ({"any": []}, "at least 1"),
        ({"priority": 3}, "Extra inputs"),
    ],
)
def test_wrong_filter_is_refused_when_it_is_read(spec, words):
    """Nothing that cannot work, or could take for ever, becomes active; the message says what is right."""
    with pytest.raises(ValidationError) as caught:
        FilterSpec.model_validate(spec)

    assert words in str(caught.value)


def test_filters_of_a_list_must_all_hold_and_none_holds_always():
    """Several filters are AND; an empty list is every message."""
    assert says({"event_type": "market.*"}, {"content": "tech"})
    assert not says({"event_type": "market.*"}, {"content": "oil"})
    assert says()


@pytest.mark.parametrize(
    "spec",
    [
        {"where": "data.note > 5"},
        {"where": "data.note > 5", "negate": True},
        {"not": {"where": "data.note > 5"}},
        {"where": "data.note > 5 AND data.symbol = AAPL"},
        {"where": "data.volume > 2 * data.note"},
        {"json_path": "$..*..*..*..*", "one_of": ["nobody"]},
    ],
)
def test_filter_that_cannot_be_answered_fails_also_when_it_is_negated(spec):
    """No answer is not the answer no: `negate` makes no match of it."""
    data = TICK if "where" in str(spec) else {"x": [[[[[[list(range(300))]]]]]] * 20}
    with pytest.raises(FilterFailureError):
        says(spec, data=data)


@pytest.mark.parametrize("turn_round", [False, True])
def test_failure_of_a_part_does_not_matter_where_another_part_settles_it(turn_round):
    """A true part settles OR, a false one AND, whatever the order."""
    parts = ["data.note > 5", "data.symbol = AAPL"][:: -1 if turn_round else 1]
    assert where(" OR ".join(parts))
    parts = ["data.note > 5", "data.symbol = MSFT"][:: -1 if turn_round else 1]
    assert not where(" AND ".join(parts))


class TestBounds:
    """What data or a definition was made to take for ever ends, by counted steps and not by a clock."""

    LONG = "a" * 200_000 + "!"

    @pytest.mark.parametrize(
        "spec",
        [
            {"regex": "(a+)+$"},
            {"json_path": "$.x", "regex": "^(a|a)*$"},
            {"regex": "(.*a){10}$"},
            {"json_path": "$.x", "regex": "(a+)+$"},
            {"json_path": "$[?search(@, '(a+)+$')]"},
            {"json_path": "$[?match(@, '(a|a)*')]"},
        ],
    )
    def test_catastrophic_pattern_does_not_hang(self, spec):
        """Patterns that take exponential time where an engine backtracks are simply no match."""
        assert not says(spec, data={"x": self.LONG})

    @pytest.mark.parametrize(
        "path",
        [
            "$..*..*..*..*..zz",
            "$[?@..*..*..*..*..zz]",
            "$.x[?count($.x[?count($.x[*]) > 1]) > 1]",
            "$..[?$..[?$..[?@.zz]]]",
        ],
    )
    def test_path_that_multiplies_fails_at_its_bound(self, path):
        """Nested descents and filters in filters stop after `MAX_NODES` nodes."""
        data = {"x": [[[[[[list(range(300))]]]]]] * 60}
        if "count" in path:
            data = {"x": list(range(20_000))}
        with pytest.raises(FilterFailureError, match=str(MAX_NODES)):
            says({"json_path": path}, data=data)

    def test_ten_thousand_filters_together_keep_one_message_s_budget(self):
        """However many filters ask, one message causes a bounded amount of work; what comes after fails."""
        check = compile_filters((FilterSpec.model_validate({"json_path": "$..zz"}),))
        view = MessageView(message("m", {"x": list(range(5_000)), "y": [[1]] * 5_000}))
        answers = []
        for _ in range(10_000):
            try:
                answers.append(check.asks(view))
            except FilterFailureError:
                answers.append(None)

        assert answers[0] is False
        assert answers[-1] is None
        assert answers.count(False) * 5_000 * 10 <= MAX_STEPS

    def test_data_that_json_cannot_carry_fails(self):
        """An integer beyond 64 bits is no text: the filter fails and nothing else does."""
        with pytest.raises(FilterFailureError):
            says({"content": "x"}, data={"n": 2**70})


def test_definition_without_subscription_has_the_digest_it_had():
    """The new fields are absent from what is published, so nothing that runs is told of a change."""
    definition = agent("worker", ["x"])

    assert not {"subscribe", "pause_on", "resume_on"} & set(definition.as_json())
    assert definition.is_candidate


def test_definition_with_a_subscription_survives_the_registry():
    """What is published is what was read, composites and flags included."""
    filters = [
        {
            "any": [
                {"event_type": ["a.b", "c.*"]},
                {"not": {"content": "x", "case_sensitive": True}},
            ]
        },
        {"json_path": "$.s", "one_of": ["A", 1, None], "negate": True},
    ]
    more = {"subscribe": {"filters": filters, "priority": 3}, "pause_on": [{"where": "type = a.b"}]}
    definition = agent("worker", ["x"], **more)

    again = type(definition).model_validate(definition.as_json())

    assert again == definition
    assert again.digest == definition.digest


def test_resume_without_pause_is_refused():
    """It could never mean anything."""
    with pytest.raises(ValidationError, match="resume_on without pause_on"):
        agent("worker", ["x"], resume_on=[{"event_type": "a.b"}])


TYPE = st.text("abc.", min_size=1, max_size=6)
PATTERN = st.text("abc.*?", min_size=1, max_size=6)


@given(st.lists(st.lists(PATTERN, min_size=1, max_size=3), max_size=8), TYPE)
def test_index_finds_exactly_those_whose_patterns_fit(patterns, kind):
    """Asking the index is asking every pattern, without asking every pattern."""
    sets = [frozenset(map(TypePattern.of, some)) for some in patterns]
    index = TypeIndex([*enumerate(sets), ("everything", None)])

    wanted = {n for n, some in enumerate(sets) if any(one.accepts(kind) for one in some)}
    assert set(index.find(kind)) == wanted | {"everything"}
    assert len(index.find(kind)) == len(set(index.find(kind)))


ATOMS = {
    "priority > 4": True,
    "data.volume = 1": False,
    "type = market.tick": True,
    "type = order.*": False,
    "data.note > 1": None,
}
TREE = st.recursive(
    st.sampled_from(sorted(ATOMS)),
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner), st.tuples(st.sampled_from(["AND", "OR"]), inner, inner)
    ),
    max_leaves=8,
)


def text_of(tree) -> str:
    if isinstance(tree, str):
        return tree
    if tree[0] == "NOT":
        return f"NOT ({text_of(tree[1])})"
    return f"({text_of(tree[1])}) {tree[0]} ({text_of(tree[2])})"


def truth_of(tree) -> bool | None:
    if isinstance(tree, str):
        return ATOMS[tree]
    values = [truth_of(part) for part in tree[1:]]
    if tree[0] == "NOT":
        return None if values[0] is None else not values[0]
    settling = tree[0] == "OR"
    if settling in values:
        return settling
    return None if None in values else not settling


@settings(max_examples=300, deadline=None)
@given(TREE)
def test_any_expression_is_what_three_valued_logic_makes_of_it(tree):
    """Parsed and asked, an expression of true, false and failing parts is what Kleene's tables say."""
    check = parse_where(text_of(tree), case_sensitive=False)
    view = MessageView(message("m", TICK, type="market.tick"))
    try:
        found = check.asks(view)
    except FilterFailureError:
        found = None

    assert found is truth_of(tree)
    if found and check.types is not None:
        assert any(one.accepts("market.tick") for one in check.types)


@settings(max_examples=300, deadline=None)
@given(st.text("()=!<>*.,'\" andortypedata135_", max_size=60))
def test_any_text_is_an_expression_or_a_clear_error(text):
    """Nothing but ValueError comes out of the parser, and nothing but an answer or a failure out of what it accepts."""
    try:
        check = parse_where(text, case_sensitive=False)
    except ValueError:
        return
    with suppress(FilterFailureError):
        assert check.asks(MessageView(message("m", TICK))) in {True, False}
