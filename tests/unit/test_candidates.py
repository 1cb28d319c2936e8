"""Candidates among many agents: the index leaves nobody out, one contract serves equal schemas, the record stays small."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.contracts.chat import ChatAnswer
from signalbox.definitions import contract as contract_module
from signalbox.definitions.contract import Contract, contract_of
from signalbox.definitions.requirements import requirements
from signalbox.routing.candidates import MAX_LISTED, MAX_MISSES, weigh
from signalbox.routing.contract_index import ContractIndex
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, rulebook

KEYS = st.sampled_from(["a", "b", "c", "$defs"])
STRINGS = st.sampled_from(["x", "y", "z"])
SCALARS = st.one_of(STRINGS, st.integers(0, 2), st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
DATA = st.dictionaries(KEYS, VALUES, max_size=4)
LEAVES = st.one_of(
    st.booleans(),
    st.builds(lambda value: {"const": value}, SCALARS),
    st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=3)),
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["string", "object", "integer"])),
    st.sampled_from([{"$ref": "#/$defs/d"}, {"type": "object", "$ref": "#/$defs/d"}]),
)


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    parts = {
        "type": st.sampled_from(["object", ["object"], ["object", "string"]]),
        "required": st.lists(KEYS, max_size=2, unique=True),
        "properties": st.dictionaries(KEYS, inner, max_size=3),
        "additionalProperties": st.booleans(),
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
    }
    return st.fixed_dictionaries({}, optional=parts)


SCHEMAS = st.builds(
    lambda schema, shared: {**schema, "$defs": {"d": shared}} if isinstance(schema, dict) else {},
    st.recursive(LEAVES, schemas, max_leaves=10),
    LEAVES.filter(lambda leaf: isinstance(leaf, bool) or "$ref" not in leaf),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(SCHEMAS, min_size=1, max_size=12), st.lists(DATA, min_size=1, max_size=6))
def test_index_never_leaves_out_a_contract_that_accepts(some, data):
    """Whatever the schemas and the data: every contract that brute force finds accepting is among those worth asking."""
    index = ContractIndex([requirements(schema) for schema in some])

    for one in data:
        accepting = {n for n, schema in enumerate(some) if Contract(schema).accepts(one)}
        assert accepting <= set(index.possible(one))


def test_index_of_discriminated_contracts_asks_one_of_a_thousand():
    """A key of its own, a constant, a constant two levels down: each tells a thousand contracts apart without asking them."""
    by_key = [{"required": ["lead", f"kind_{n}"]} for n in range(1000)]
    by_value = [
        {"required": ["lead", "kind"], "properties": {"kind": {"const": f"k{n}"}}}
        for n in range(1000)
    ]
    below = [
        {
            "required": ["score"],
            "properties": {
                "score": {
                    "type": "object",
                    "required": ["step"],
                    "properties": {"step": {"enum": [f"k{n}", f"other {n}"]}},
                }
            },
        }
        for n in range(1000)
    ]

    def asked(some, data):
        return ContractIndex([requirements(one) for one in some]).possible(data)

    assert asked(by_key, {"lead": {}, "kind_7": 1}) == [7]
    assert asked(by_value, {"lead": {}, "kind": "k7"}) == [7]
    assert asked(below, {"score": {"step": "other 7"}}) == [7]


def test_alternatives_of_a_schema_are_told_apart():
    """`if reply … else report and score`: data with neither is not worth a question, with either it is."""
    schema = {
        "required": ["lead"],
        "if": {"required": ["reply"]},
        "then": {"properties": {"score": False}},
        "else": {"required": ["report", "score"]},
    }
    index = ContractIndex([requirements(schema)])

    assert index.possible({"lead": {}}) == []
    assert index.possible({"lead": {}, "reply": {}}) == [0]
    assert index.possible({"lead": {}, "report": {}, "score": {}}) == [0]


def test_record_of_many_agents_stays_small():
    """Of a thousand agents the record lists the one that acts and the five nearest misses, and counts the rest."""
    world = Simulation(rulebook(*(agent(f"a{n}", ["lead", f"kind_{n}"]) for n in range(1000))))

    world.send(message("m-1", {"lead": {}, "kind_7": 1}))

    (decision,) = world.decisions
    assert (decision.agent, decision.accepted_total, decision.rejected_total) == ("a7", 1, 999)
    assert [one.agent for one in decision.candidates if one.accepted] == ["a7"]
    assert len(decision.candidates) == 1 + MAX_MISSES
    assert len(decision.to_json()) < 2000


def test_why_none_of_many_agents_names_the_nearest_and_counts_the_rest():
    """NONE among a thousand says what the nearest lack, not what all of them lack."""
    world = Simulation(rulebook(*(agent(f"a{n}", ["lead", f"kind_{n}"]) for n in range(1000))))

    world.send(message("m-1", {"lead": {}}))

    (decision,) = world.decisions
    assert "kind_0: required" in decision.reason
    assert decision.reason.endswith("; and 995 more")


def test_nearest_misses_come_first():
    """Who lacks least stands first, then who has most in common with the data, whatever their names."""
    book = rulebook(
        agent("a_far", ["brief", "x", "y"]), agent("z_near", ["brief", "x"]), agent("m", ["q"])
    )
    assert book.current is not None

    weighed = weigh({"brief": 1}, book.current, None)

    assert [one.agent for one in weighed.listed()] == ["z_near", "m", "a_far"]


def test_agent_whom_only_the_handoffs_bar_is_the_nearest_miss():
    """Its contract accepts, so it stands first among those that may not act."""
    book = rulebook(agent("allowed", ["q"]), agent("barred", ["brief"]))
    assert book.current is not None

    weighed = weigh({"brief": 1}, book.current, frozenset({"allowed"}))

    assert weighed.accepted == ()
    assert [(one.agent, one.violations) for one in weighed.listed()] == [
        ("barred", ("handoffs: not allowed to the sender",)),
        ("allowed", ("brief: not expected", "q: required")),
    ]


def test_many_that_accept_are_listed_by_score_with_the_chosen_one():
    """Of forty twins the record lists twenty, the best first, and always the one that was chosen."""
    names = [f"twin_{n:02}" for n in range(40)]
    world = Simulation(rulebook(*(agent(name, ["x"]) for name in names)))
    world.send(message("m-1", {"x": 1}))
    text = '{"agent": "twin_39", "reason": "r", "confidence": 0.9}'
    scores = {"twin_30": 0.9, "twin_20": 0.5}

    world.answer("c-1", ChatAnswer(text=text, model="stub", scores=scores))

    (decision,) = world.decisions
    listed = [one.agent for one in decision.candidates]
    assert (len(listed), decision.accepted_total) == (MAX_LISTED, 40)
    assert listed[:2] == ["twin_30", "twin_20"]
    assert "twin_39" in listed


def test_equal_schemas_are_asked_once(monkeypatch):
    """A hundred agents with one schema cost one validation."""
    book = rulebook(*(agent(f"twin_{n:02}", ["x"]) for n in range(99)))
    assert book.current is not None
    asked = []
    accepts = Contract.accepts

    def counted(self, data):
        asked.append(self)
        return accepts(self, data)

    monkeypatch.setattr(Contract, "accepts", counted)

    assert len(weigh({"x": 1}, book.current, None).accepted) == 99
    assert len(asked) == 1


def test_contract_is_compiled_once_for_every_version_and_subtask(monkeypatch):
    """Rulebooks of equal schemas share the compiled contract, and a definition that is read again is not compiled again."""
    first, second = (rulebook(agent("a", ["shared once"])).current for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.agents["a"].contract is second.agents["a"].contract

    def compiled(_):
        pytest.fail("compiled again")

    monkeypatch.setattr(contract_module, "_compiled", compiled)
    rulebook(agent("b", ["shared once"]))
    assert contract_of(first.agents["a"].contract.schema) is first.agents["a"].contract


@pytest.mark.parametrize(
    "data",
    [{"x" * 200_000: 1}, {"text": [1] * 120_000}, {f"k{n}": n for n in range(20_000)}],
)
def test_violations_of_large_data_are_few_and_short(data):
    """A quarter of a megabyte that is all wrong is explained in a line or two, and found without looking for every mistake."""
    schema = {
        "properties": {"text": {"items": {"type": "string"}}},
        "required": ["q"],
        "additionalProperties": False,
    }
    found = Contract(schema).violations(data)

    assert found
    assert sum(map(len, found)) < 1000
