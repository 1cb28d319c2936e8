"""Schemas that would reach outside, run for ever or match for ever are refused with their place; harmless ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.definitions.contract import Contract
from signalbox.definitions.schema_check import MAX_EXPANDED, SchemaProblem

TREE = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "parts": {"items": {"$ref": "#"}}},
}


def chain(length: int, times: int, *, below: bool = False) -> dict[str, Any]:
    """`length` definitions, each using the next one `times` times."""

    def using(number: int) -> dict[str, Any]:
        link: dict[str, Any] = {"$ref": f"#/$defs/d{number + 1}"}
        return {"allOf": [{"properties": {"x": link}} if below else link] * times}

    links = {f"d{number}": using(number) for number in range(length)}
    return {"$defs": {**links, f"d{length}": {"type": "object"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        ({"$ref": "http://127.0.0.1:9/s.json"}, ("$ref",), "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, ("$ref",), "nothing is fetched"),
        ({"$id": "https://a.example/b", "$ref": "c"}, ("$ref",), "nothing is fetched"),
        (
            {"properties": {"a": {"items": {"$ref": "#/$defs/b"}}}, "$defs": {"c": {}}},
            ("properties", "a", "items", "$ref"),
            "$defs has c",
        ),
        ({"allOf": [{"$id": "https://a.example/b"}]}, ("allOf", 0, "$id"), "one document"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "2020-12"),
        ({"$schema": "https://evil.example/meta"}, ("$schema",), "2020-12"),
        ({"$dynamicRef": "#node"}, ("$dynamicRef",), "not supported"),
        ({"$ref": "#"}, ("$ref",), "without going into the data"),
        (
            {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, True]}}, "$ref": "#/$defs/a"},
            ("$defs", "a", "anyOf", 0, "$ref"),
            "without going into the data",
        ),
        ({"properties": {"a": {"pattern": "^(?=a)(a+)+$"}}}, ("properties", "a", "pattern"), "look-around"),
        ({"pattern": r"(a*)*b\1"}, ("pattern",), "back-references"),
        ({"pattern": "(.{0,500}){0,5}x"}, ("pattern",), "too large"),
        ({"pattern": "((a{1,100}){1,100}){1,100}"}, ("pattern",), "far too large"),
        ({"pattern": "("}, ("pattern",), "not a regular expression"),
        ({"patternProperties": {"(?!a)": {}}}, ("patternProperties", "(?!a)"), "look-around"),
        ({"required": "brief"}, ("required",), "not a JSON Schema"),
    ],
)  # fmt: skip
def test_schema_that_may_not_be_is_refused_at_its_place(schema, path, words):
    """The error says what, and its path leads to the very keyword."""
    with pytest.raises(SchemaProblem) as caught:
        Contract(schema)

    assert caught.value.path == path
    assert words in str(caught.value)


@pytest.mark.parametrize("below", [False, True])
def test_schema_that_explodes_when_written_out_is_refused(below):
    """Thirty definitions that each use the next one twice are a billion checks."""
    with pytest.raises(SchemaProblem, match=str(MAX_EXPANDED)):
        Contract(chain(30, 2, below=below))


def test_schema_of_a_long_chain_of_references_is_refused():
    """A chain that is longer than a call stack is an error of ours."""
    with pytest.raises(SchemaProblem, match="references lead here"):
        Contract(chain(5000, 1))


def test_references_in_data_are_data():
    """What stands in `const`, `enum`, `default` or `examples`, or is a property named `$ref`, is no reference."""
    remote = {"$ref": "http://127.0.0.1:9/s.json", "pattern": "(?=a)"}
    schema = {
        "const": remote,
        "enum": [remote],
        "default": remote,
        "properties": {"$ref": {"type": "string"}, "pattern": True},
    }

    assert Contract(schema).accepts(remote)


def test_recursive_schema_follows_the_data_down_and_explains():
    """A tree is accepted and refused by what stands in it, and the violation names the place."""
    tree = Contract(TREE)

    assert tree.accepts({"name": "a", "parts": [{"name": "b", "parts": []}]})
    assert tree.violations({"name": "a", "parts": [{"parts": []}]})
    assert tree.violations({"parts": []}) == ("name: required",)


def test_recursive_schema_with_two_branches_explains_deep_data_at_once():
    """Listing all errors of data nested sixty deep would take 2^60 steps; the explanation does not try."""
    branch = {"properties": {"x": {"$ref": "#"}}}
    schema = Contract({"allOf": [branch, branch], "required": ["x"]})
    data: dict[str, Any] = {}
    for _ in range(60):
        data = {"x": data}

    assert not schema.accepts(data)
    assert schema.violations(data) == ("data: refused where the schema recurs",)


def test_data_deeper_than_the_validator_goes_is_not_accepted():
    """A handler's answer nested three hundred deep is refused, not an exception."""
    data: dict[str, Any] = {}
    for _ in range(300):
        data = {"name": "a", "parts": [data]}

    assert not Contract(TREE).accepts(data)
    assert Contract(TREE).violations(data)


def test_patterns_of_the_ordinary_kind_pass():
    """Anchors, classes, alternatives and bounded repeats are linear, and stay allowed."""
    for pattern in (r"^[a-z]{1,63}(\.[a-z0-9-]+)*$", r"\S", r"^\d{4}-\d\d-\d\d$", r"^\w{1,200}$"):
        assert Contract({"properties": {"a": {"pattern": pattern}}}).accepts({"a": 1})
