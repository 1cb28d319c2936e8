"""Mappings of workflow steps: values as they are, errors that name what is missing, nothing that runs away."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.workflows.errors import MappingError, TemplateProblem
from signalbox.workflows.expressions import MAX_NODES, MAX_REFERENCES
from signalbox.workflows.filling import MAX_RENDERED_BYTES
from signalbox.workflows.mapping import (
    compile_condition,
    compile_mapping,
    compile_text,
    condition,
    render,
)
from signalbox.workflows.paths import MAX_NODES as MAX_FOUND

DATA = {
    "amount": 12.5,
    "items": [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": 2}],
    "keys": "a field that dictionaries have as a method",
    "zip": "007",
    "note": None,
    "evil": "{{ data.amount }}{% for x in y %}",
}
RESULTS = {"reserve": {"reserved_quantity": 3, "items": ["a", "b"]}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        ("plain {text}", "plain {text}"),
        ("{{ data.amount }}", 12.5),
        ("{{ data.zip }}", "007"),
        ("{{ data.zip|int }}", 7),
        ("{{ data.note }}", None),
        ("{{ data.items }}", DATA["items"]),
        ("{{ data.keys }}", DATA["keys"]),
        ("{{ data.items[1].sku }}", "b"),
        ("{{ data['items'][0:1] }}", DATA["items"][:1]),
        ("{{ steps.reserve.reserved_quantity + 1 }}", 4),
        ("{{ data.amount > 10 and data.note is none }}", True),
        ("{{ data.items|sum(attribute='quantity') }}", 3),
        ("{{ data.items|map(attribute='sku')|join(', ') }}", "a, b"),
        ("{{ data.missing|default(0) }}", 0),
        ("{{ 'yes' if steps.charge is defined else 'no' }}", "no"),
        ("{{ steps.charge is defined and steps.charge.ok }}", False),
        ("{{ {'sum': data.amount, 'of': [data.zip]} }}", {"sum": 12.5, "of": ["007"]}),
        ("EUR {{ data.amount }} for {{ data.note }}", "EUR 12.5 for null"),
        ({"$path": "$.steps.reserve.reserved_quantity"}, 3),
        ({"$path": "$.data.items[?@.quantity > 1].sku"}, ["b"]),
        ({"$path": "$.data.items[*].price"}, []),
        ({"$path": "$.data.price", "default": 1}, 1),
        ([{"deep": "{{ data.zip }}"}, None, True], [{"deep": "007"}, None, True]),
    ],
)
def test_a_value_comes_out_as_it_is(value, expected):
    """A whole expression or path gives the value with its type; in a text it is written; literals stay."""
    rendered = render({"x": value}, DATA, RESULTS)

    assert rendered == {"x": expected}
    assert orjson.dumps(rendered) == orjson.dumps({"x": expected})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{{ data.price }}", "x: data.price is missing: data has amount, evil, items"),
        ("{{ steps.charge.id }}", "x: steps.charge.id is missing: step 'charge' has no result"),
        ("{{ steps.reserve.id }}", "x: steps.reserve.id is missing: steps.reserve has items"),
        ("{{ data.items.sku }}", "x: data.items.sku is missing: data.items has 2 items"),
        ("{{ data.note.by }}", "x: data.note.by is missing: data.note is null"),
        ("no {{ data.price }} known", "x: data.price is missing"),
        ({"$path": "$.steps.charge.id"}, "x: steps.charge.id is missing: step 'charge' has no"),
        ({"$path": "$.data.prices[*].net"}, "x: data.prices is missing"),
        ("{{ data.amount / 0 }}", "x: ZeroDivisionError"),
        ("{{ data.note + 1 }}", "x: TypeError"),
        ("{{ data.zip|int(0) }}", "x: TypeError"),
        ("{{ data.zip * 3 }}", "'*' is for numbers, got '007'"),
        ("{{ '%9d' % 3 }}", "'%' is for numbers"),
        ("{{ data.amount.__class__ }}", "data.amount.__class__ is missing"),
        ("{{ 99999999999 * 99999999999 }}", "not JSON"),
        ("{{ 1.5e308 * 10 }}", "not a number of JSON"),
    ],
)
def test_what_is_missing_or_wrong_is_named(value, said):
    """The error names the field of the mapping, what it refers to, and what is there instead."""
    with pytest.raises(MappingError) as caught:
        render({"x": value}, DATA, RESULTS)

    assert said in str(caught.value)
    assert caught.value.field.startswith("x")


def test_an_error_names_the_step_and_the_place_inside_the_mapping():
    """A step's mapping is named with the way into it."""
    mapping = compile_mapping({"order": {"lines": ["{{ data.a }}", "{{ data.b }}"]}})

    with pytest.raises(MappingError) as caught:
        mapping.render({"a": 1}, {}, step="charge.input")

    assert str(caught.value).startswith("charge.input: order.lines.1: data.b is missing")
    assert (caught.value.step, caught.value.field) == ("charge.input", "order.lines.1")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{{ data.amount", "unexpected end"),
        ("{% for x in data.items %}{% endfor %}", "a statement (for)"),
        ("{{ data.items() }}", "a call is not allowed"),
        ("{{ range(10 ** 9) }}", "not allowed"),
        ("{{ data.amount ** 99999999 }}", "a power"),
        ("{{ data.zip|center(999999999) }}", "the filter 'center'"),
        ("{{ order.id }}", "'order' is not known here"),
        ("{{ self }}", "'self' is not known here"),
        ("{{ steps }}", "`steps` without a step's id"),
        ("{{ steps[data.zip].id }}", "`steps` without a step's id"),
        ("{{ data.a if data.b }}", "an `if` without `else`"),
        ("{{ 1e999 }}", "a number beyond what JSON has"),
        ("{{ " + "~".join(["data.evil"] * (MAX_REFERENCES + 1)) + " }}", "refers to 33 values"),
        ("{{ " + "+".join(["1"] * MAX_NODES) + " }}", "parts"),
        ("{{ " + "(" * 100_000 + " }}", ""),
        ("{{ " + "not " * 100_000 + "data.a }}", ""),
        ({"$path": "data.amount"}, "is no JSONPath"),
        ({"$path": "$..sku"}, "begins neither with"),
        ({"$path": "$.orders.id"}, "'orders' is not known"),
        ({"$path": "$.steps.*"}, "`steps` without"),
        ({"$path": "$.data..a..b"}, "descends (`..`) more than once"),
        ({"$path": "$.data[*,*][*,*][*,*]"}, "several selectors"),
        ({"$path": "$.data[?match(@, '(a+)+b')]"}, "a regular expression (match)"),
        ({"$path": "$.data[?@[?search(@, 'a')]]"}, "a regular expression (search)"),
        ({"$path": "$.data[?@ == $.data.a]"}, "asks from the root"),
        ({"$path": 3}, "$path: 3"),
        ({"$path": "$.data.a", "other": 1}, "'other' beside $path"),
        ({"$path": "$.data." + "a" * 500}, "a path of"),
        ({1: 2}, "the field 1 is no text"),
        (float("inf"), "inf is not a number of JSON"),
    ],
)
def test_a_mapping_that_could_leave_the_data_or_run_away_is_refused_when_compiled(value, said):
    """No statements, calls, powers, foreign names, regular expressions, or what is more than linear; the place is told."""
    with pytest.raises(TemplateProblem) as caught:
        compile_mapping({"outer": [value]})

    assert said in str(caught.value)
    assert caught.value.hint
    assert caught.value.path[:2] == ("outer", 0)


def test_what_a_message_says_is_never_read_as_a_template():
    """Template marks in a message come out as the text they are."""
    rendered = render({"a": "{{ data.evil }}", "b": "<{{ data.evil }}>"}, DATA, {})

    assert rendered == {"a": DATA["evil"], "b": f"<{DATA['evil']}>"}


def test_a_short_mapping_cannot_make_a_long_message():
    """What comes out is bounded while it is written, not when it is there."""
    large = {"text": "x" * 50_000}
    mapping = compile_mapping({f"f{number}": "{{ data }}" for number in range(10_000)})

    with pytest.raises(MappingError, match=f"more than {MAX_RENDERED_BYTES} bytes"):
        mapping.render(large, {})


def test_a_join_is_bounded_before_it_is_written():
    """A long separator between many items is refused instead of written."""
    data = {"many": [""] * 40_000, "separator": "x" * 100_000}

    with pytest.raises(MappingError, match="join would write"):
        render({"x": "{{ data.many|join(data.separator) }}"}, data, {})


def test_a_path_finds_a_bounded_number_of_values():
    """More values than the bound are an error, not a long list."""
    with pytest.raises(MappingError, match=f"more than {MAX_FOUND} values"):
        render({"x": {"$path": "$.data..*"}}, {"many": [0] * (MAX_FOUND + 1)}, {})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("data.amount > 100", False),
        ("{{ data.amount < 100 }}", True),
        ("data['items']|length == 2", True),
        ("steps.charge is not defined", True),
        ("'007' == data.zip", True),
    ],
)
def test_a_condition_is_true_or_false(expression, expected):
    """With and without braces around it."""
    assert condition(expression, DATA, RESULTS) is expected


@pytest.mark.parametrize("expression", ["data.amount", "data.zip", "data.note"])
def test_a_condition_that_is_neither_is_an_error(expression):
    """The text 'false' is not false: what is no boolean is told, with its value."""
    with pytest.raises(MappingError, match="a condition is true or false"):
        condition(expression, DATA, RESULTS)


@pytest.mark.parametrize(
    "expression", ["a text", "{{ data.a }} and {{ data.b }}", "{{ data.a", "x"]
)
def test_a_condition_that_is_no_expression_is_refused(expression):
    """It is compiled before anything runs."""
    with pytest.raises(TemplateProblem):
        compile_condition(expression)


def test_a_text_is_filled_in():
    """Text for people: values written out, numbers too."""
    assert compile_text("{{ data.amount }}").render(DATA, {}) == "12.5"
    assert compile_text("Charge {{ data.amount }}?").render(DATA, {}) == "Charge 12.5?"


def test_references_say_what_is_used_and_whether_its_absence_is_provided_for():
    """Every way into data and results, with its place and its guard."""
    mapping = compile_mapping(
        {
            "a": "{{ data.rows[0].x + steps.s.y }}",
            "b": {"c": "{{ steps.t.z|default(1) }}"},
            "d": {"$path": "$.steps.u.v[*].w"},
            "e": 5,
            "f": "{{ data.rows[data.n] }}",
        }
    )
    told = {(".".join(place), str(one), one.is_guarded) for place, one in mapping.references}

    assert told == {
        ("a", "data.rows[0].x", False),
        ("a", "steps.s.y", False),
        ("b.c", "steps.t.z", True),
        ("d.$path", "steps.u.v", False),
        ("f", "data.rows", False),
        ("f", "data.n", False),
    }
    assert mapping.literals == ((("e",), 5),)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_any_json_comes_through_an_expression_and_a_path_unchanged(value):
    """What a step hands on is what it was given, to the byte."""
    rendered = render({"a": "{{ data.v }}", "b": {"$path": "$.data.v"}}, {"v": value}, {})

    assert orjson.dumps(rendered) == orjson.dumps({"a": value, "b": value})


@given(
    text=st.text(st.sampled_from("{}%#data.steps[]()|+-*~'\" 019_ax\n"), max_size=60), value=JSON
)
def test_any_text_is_refused_or_fills_in_to_json(text, value):
    """Whatever is written in a definition: a problem, an error, or JSON; nothing else is ever raised."""
    try:
        mapping = compile_mapping({"x": text})
    except TemplateProblem:
        return
    try:
        orjson.dumps(mapping.render({"a": value}, {"a": {"x": value}}))
    except MappingError:
        return


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "value",
    [
        "{{ data.many|sort(attribute='s')|map(attribute='n')|sum }}",
        "{{ data.many|tojson|upper|lower|trim|length }}",
        "{{ (" + "+".join(["data.many"] * MAX_REFERENCES) + ")|length }}",
        {"$path": "$.data..[?@.n > 1e9]"},
    ],
)
def test_what_is_allowed_ends_over_the_largest_message(value):
    """The largest data, as often as may be, through every kind of filter: a value comes out, nothing hangs."""
    data = {"many": [{"n": number, "s": "x" * 8} for number in range(8_000)]}

    assert "x" in render({"x": value}, data, {})
