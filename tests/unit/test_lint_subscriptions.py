"""What the linter says of subscriptions: unheard types, refused answers, pauses without end; and what it no longer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from signalbox.definitions.loader import open_fleet
from signalbox.lint.finding import Finding
from signalbox.lint.run import lint


def linted(folder: Path, policy: dict[str, Any], *agents: dict[str, Any]) -> list[Finding]:
    files = {"fleet": {"name": "test", **policy}, **{one["name"]: one for one in agents}}
    for name, content in files.items():
        with (folder / f"{name}.yaml").open("w") as file:
            YAML().dump(content, file)
    return list(lint([open_fleet(folder)], lambda *_: 0.0))


def defined(name: str, takes: str, gives: str, kind: str, **more: Any) -> dict[str, Any]:
    def schema(field: str) -> dict[str, Any]:
        return {
            "type": "object",
            "required": [field],
            "properties": {field: {"type": "string"}},
            "additionalProperties": False,
        }

    return {
        "name": name,
        "description": "Handles purchase orders carefully, forwarding whatever remains undecided.",
        "input": {"description": "Input.", "schema": schema(takes)},
        "output": {"type": kind, "description": "Output.", "schema": schema(gives)},
        "handler": {"python": "agents.trading.audit:note"},
        **more,
    }


MAKER = defined("maker", "order", "made", "order.made", handoffs=[])
POLICY = {"entries": ["maker"], "completes_on": ["order.billed"]}


def biller(kind: str, takes: str = "made", **more: Any) -> dict[str, Any]:
    subscribe = {"role": "subscriber", "filters": [{"event_type": kind}], **more}
    return defined("biller", takes, "bill", "order.billed", subscribe=subscribe)


def test_an_answer_that_a_subscriber_acts_on_is_neither_dead_nor_its_agent_unreachable(tmp_path):
    """Handoffs bar it from everybody, and a subscription is no handoff."""
    assert linted(tmp_path, POLICY, MAKER, biller("order.*")) == []


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (biller("order.mad"), "no agent answers with such a type"),
        (biller("order.made", takes="other"), "accepts none of it"),
        (biller("task.failed"), "keeps to itself"),
    ],
)
def test_a_subscription_that_cannot_work_is_said(tmp_path, agent, words):
    """A wrong type, a contract that refuses what is heard, and a type of the engine, at the place of the filters."""
    found = [one for one in linted(tmp_path, POLICY, MAKER, agent) if one.rule == "unheard"]

    assert len(found) == 1
    assert words in found[0].what
    assert found[0].path.name == "biller.yaml"
    assert found[0].line > 1


def test_a_subscriber_that_outside_speaks_to_may_hear_what_no_agent_says(tmp_path):
    """Its name in `entries` says that its events come from outside."""
    policy = {**POLICY, "entries": ["maker", "biller"]}
    found = linted(tmp_path, policy, MAKER, biller("invoice.received"))

    assert [one for one in found if one.rule in {"unheard", "unreachable"}] == []


def test_a_pause_that_nothing_ends_is_said(tmp_path):
    """`pause_on` without `resume_on`."""
    agent = {**biller("order.*"), "pause_on": [{"event_type": "alert.halt"}]}
    found = linted(tmp_path, POLICY, MAKER, agent)

    assert [one.rule for one in found] == ["never-resumes"]


def test_a_listener_s_answer_is_not_dead(tmp_path):
    """It is meant to end there, and it needs no place in `completes_on`."""
    ear = defined("ear", "made", "note", "ear.noted")
    ear["subscribe"] = {"role": "listener", "filters": [{"event_type": "order.*"}]}
    found = linted(tmp_path, POLICY, MAKER, biller("order.made"), ear)

    assert found == []
