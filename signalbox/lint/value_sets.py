"""The set of values that a schema accepts, as far as it can be known: do two sets meet, is one inside the other.

Sound both ways, by jsonschema-rs's canonical form: `must_meet` is True only where common data is proven to exist, `may_meet`
is False only where it is proven not to. What lies between (patterns against patterns, recursion) is undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import canonical

from signalbox.definitions.schema_check import PATTERN_OPTIONS

_DRAFT: Final = jsonschema_rs.Draft202012
_WITHOUT_SAY_IN_KEYS: Final = frozenset(
    ("$schema", "$comment", "$defs", "title", "description", "default", "examples")
) | {"type", "required", "properties", "additionalProperties"}
"""Keywords of a schema whose data has the keys in `required` and no further key for certain."""


class ValueSet:
    """What a schema accepts among objects, which is what messages carry."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._form = _objects_of(schema)
        self._required = frozenset(schema.get("required", ()))
        self._known_keys = _known_keys(schema)
        self._certain = self._required if schema.keys() <= _WITHOUT_SAY_IN_KEYS else None
        self._known: dict[int, canonical.Satisfiability] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no data at all is accepted, proven."""
        return self._form is not None and self._form.satisfiability() == canonical.Satisfiability.NO

    def may_meet(self, other: ValueSet) -> bool:
        """Say whether some value may be in both; False is proven."""
        return self._common(other) != canonical.Satisfiability.NO

    def must_meet(self, other: ValueSet) -> bool:
        """Say whether some value is in both; True is proven."""
        return self._common(other) == canonical.Satisfiability.YES

    def covers(self, other: ValueSet) -> bool:
        """Say whether everything in `other` is in this set; True is proven."""
        if self._form is None or other._form is None:
            return False
        if other._certain is not None and not self._required <= other._certain:
            return False  # some of it lacks a key; most pairs of a large fleet, at a fraction of the cost
        try:
            return self._form.covers(other._form) == canonical.Containment.YES
        except ValueError:
            return False

    def _common(self, other: ValueSet) -> canonical.Satisfiability:
        if self._lacks_keys_of(other) or other._lacks_keys_of(self):
            return (
                canonical.Satisfiability.NO
            )  # most pairs of a large fleet, at a fraction of the cost
        if id(other) not in self._known:
            self._known[id(other)] = self._intersected(other)
        return self._known[id(other)]

    def _lacks_keys_of(self, other: ValueSet) -> bool:
        """Say whether this set allows no key that the other one requires."""
        return self._known_keys is not None and not other._required <= self._known_keys

    def _intersected(self, other: ValueSet) -> canonical.Satisfiability:
        if self._form is None or other._form is None:
            return canonical.Satisfiability.UNKNOWN
        try:
            return self._form.intersect(other._form).satisfiability()
        except ValueError:  # the library's word for what its form cannot say
            return canonical.Satisfiability.UNKNOWN


def _known_keys(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the only keys that data may have; None where it may have any."""
    if schema.get("additionalProperties") is not False or "patternProperties" in schema:
        return None
    return frozenset(schema.get("properties", ()))


def _objects_of(schema: Mapping[str, Any]) -> jsonschema_rs.CanonicalSchema | None:
    try:
        # Both are read in the same way: forms of different options cannot be intersected.
        return _form(schema).intersect(_form({"type": "object"}))
    except (ValueError, jsonschema_rs.ValidationError):
        return None


def _form(schema: Mapping[str, Any]) -> jsonschema_rs.CanonicalSchema:
    return jsonschema_rs.canonicalize(dict(schema), draft=_DRAFT, pattern_options=PATTERN_OPTIONS)
