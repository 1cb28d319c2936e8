"""The router's question: what stays the same from message to message is rendered once, and never for another version."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.contracts.chat import ChatRequest
from signalbox.contracts.decision import NONE
from signalbox.routing import prompt
from signalbox.routing.rules import Rulebook
from tests.support.fleets import agent, message, rulebook


def ask(rules: Rulebook, text: str, **more: Any) -> ChatRequest:
    assert rules.current is not None
    return prompt.routing_request(
        message("m", {"t": text}), ("left", "right"), rules.current, sender=None, fleet=None, **more
    )


def fleet_of(description: str) -> Rulebook:
    return rulebook(agent("left", ["t"], description=description), agent("right", ["t"]))


def test_candidates_are_rendered_once_for_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among a thousand agents rendering takes longer than deciding."""
    rendered = []
    real = prompt.system_prompt
    monkeypatch.setattr(prompt, "system_prompt", lambda d: rendered.append(d) or real(d))
    rules = fleet_of("Said in this test alone.")
    first, second = ask(rules, "one"), ask(rules, "two", problem="not JSON")

    assert len(rendered) == 1
    assert first.system == second.system
    assert (first.user == second.user, "not JSON" in second.user) == (False, True)


def test_another_version_of_the_definitions_is_another_question() -> None:
    """What is kept belongs to the definitions' digest, so a change is seen at once."""
    before, after = ask(fleet_of("Does this."), "x"), ask(fleet_of("Does that."), "x")

    assert ("Does this." in before.system, "Does that." in after.system) == (True, True)
    assert "Does this." not in after.system
    assert before.choices["left"][0] == "Does this."
    assert after.choices["left"][0] == "Does that."


def test_prompt_says_none_as_the_answer_must_write_it() -> None:
    """What the rules call NONE is the word that the answer's enum has; "None" would be no answer."""
    asked = ask(fleet_of("Does this."), "x")

    assert asked.schema["properties"]["agent"]["enum"][-1] == NONE
    assert asked.system.count(NONE) == 3
    assert "None" not in asked.system
