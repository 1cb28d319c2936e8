"""What a contract says about one field: its schema, that it is absent, or nothing; careful where it cannot be known."""

from __future__ import annotations

import pytest

from signalbox.workflows.schema_fields import (
    Known,
    field_of,
    forbids,
    never_fits,
    refuses,
    requires,
)

TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}},
    "required": ["value"],
}
SHARED = {
    "type": "object",
    "properties": {
        "a": {"$ref": "#/$defs/a"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/a"}},
    },
    "$defs": {"a": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}},
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("schema", "path", "expected"),
    [
        ({"type": "object"}, ["x"], Known.ANYTHING),
        ({"properties": {"x": {}}}, ["y"], Known.ABSENT),
        ({"properties": {"x": True}}, ["x"], Known.ANYTHING),
        ({"properties": {"x": True}}, ["x", "y"], Known.ANYTHING),
        ({"properties": {"x": {"type": "string"}}}, ["x", "y"], Known.ABSENT),
        ({"properties": {"x": {}}, "additionalProperties": True}, ["y"], Known.ANYTHING),
        ({"properties": {"x": {}}, "additionalProperties": False}, ["y"], Known.ABSENT),
        ({"properties": {"x": {}}, "patternProperties": {"y": {}}}, ["y"], Known.ANYTHING),
        ({"properties": {"x": {}}, "anyOf": [{"required": ["y"]}]}, ["y"], Known.ANYTHING),
        ({"type": "array"}, ["x"], Known.ABSENT),
        ({"type": "array", "items": {"type": "integer"}}, [3], {"type": "integer"}),
        ({"type": ["array", "null"], "prefixItems": [{"const": 1}]}, [0], {"const": 1}),
        ({"type": "object"}, [0], Known.ABSENT),
        ({"properties": {"x": {"$ref": "#/$defs/none"}}}, ["x", "y"], Known.ANYTHING),
        (TREE, ["next", "next", "value"], {"type": "integer"}),
    ],
)  # fmt: skip
def test_a_field_is_known_as_far_as_it_can_be(schema, path, expected):
    """Listed fields are taken at their word; what is open, composed or referred to in vain is anything."""
    assert field_of(schema, path) == expected


def test_a_shared_part_is_found_and_stands_alone():
    """References are followed, and what they need comes along."""
    assert field_of(SHARED, ["a", "x"])["type"] == "string"
    assert field_of(SHARED, ["list", 0, "x"])["type"] == "string"
    assert field_of(SHARED, ["list", 0, "y"]) is Known.ABSENT
    assert "$defs" in field_of(SHARED, ["a"])


def test_requirements_are_followed_into_objects():
    """Required is what every object on the way requires."""
    assert requires(SHARED, ["a", "x"])
    assert not requires(SHARED, ["list"])
    assert not requires(TREE, ["next", "value"])


def test_only_a_closed_object_forbids():
    """What is not listed is forbidden only where the schema says so."""
    closed = {"properties": {"x": {}}, "additionalProperties": False}

    assert forbids(closed, [], "y")
    assert not forbids(closed, [], "x")
    assert not forbids({"properties": {"x": {}}}, [], "y")
    assert not forbids({**closed, "patternProperties": {"^y": {}}}, [], "y")


@pytest.mark.parametrize(
    ("given", "taken", "expected"),
    [
        ({"type": "string"}, {"type": "integer"}, True),
        ({"type": "integer", "maximum": 3}, {"type": "number", "minimum": 4}, True),
        ({"enum": ["a", "b"]}, {"const": "c"}, True),
        ({"type": "integer"}, {"type": "number"}, False),
        (Known.ANYTHING, {"type": "integer"}, False),
        ({"pattern": "^a+$"}, {"pattern": "^b+$"}, False),
        (TREE, {"type": "string"}, False),
    ],
)
def test_only_what_is_proven_never_fits(given, taken, expected):
    """Disjoint sets are told; recursion, patterns and the unknown are not."""
    assert never_fits(given, taken) is expected


def test_a_literal_is_refused_with_the_reason():
    """By a schema that is known, and by no other."""
    assert "minimum" in refuses({"type": "integer", "minimum": 1}, 0)
    assert refuses({"type": "integer"}, 1) is None
    assert refuses(Known.ANYTHING, "x") is None
    assert refuses({"$ref": "#/properties/gone"}, "x") is None
    assert refuses(TREE, "x") is None
