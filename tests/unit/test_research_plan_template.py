"""The planner without a model: which plan a request plainly asks for, of those agents only that are offered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.research.planner import plan_by_template
from agents.result import HandlerResult, Reply, Terminal
from signalbox.definitions.loader import load_fleet
from signalbox.workflows.plan_answer import RefusedPlan, read_plan
from tests.support.crew import DEFINITIONS
from tests.support.tasks import context_of, task_of

EVERYBODY = ("researcher", "writer", "coder", "image_analyst", "chart_maker")
OUTPUT = load_fleet(DEFINITIONS / "research").agents["planner"].output.contract


def planned(prompt: str, *, agents: tuple[str, ...] = EVERYBODY, **more: Any) -> HandlerResult:
    """Plan `prompt`."""
    offered = [{"name": name, "description": "…", "input": "…"} for name in agents]
    data = {"prompt": prompt, "agents": offered, "max_tasks": 8, **more}
    return plan_by_template(task_of(data), context_of(Path("/nonexistent")))


def shape(prompt: str, **more: Any) -> dict[str, list[str]]:
    """The agents of a plan, each with the agents whose results it needs."""
    result = planned(prompt, **more)
    assert isinstance(result, Reply)
    agents = {one["id"]: one["agent"] for one in result.data["tasks"]}
    return {one["agent"]: [agents[n] for n in one["needs"]] for one in result.data["tasks"]}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What is a signal box?", {"researcher": [], "writer": ["researcher"]}),
        ("Write a letter to my landlord.", {"researcher": [], "writer": ["researcher"]}),
        ("Compare tea and coffee.", {"researcher": [], "writer": ["researcher", "researcher"]}),
        ("Draw a bar chart: a 1, b 2", {"chart_maker": []}),
        ("Berlin 3.7, Hamburg 1.9, Munich 1.5", {"chart_maker": []}),
        ("Write a Python function that sorts names.", {"coder": []}),
        (
            "Explain the sort function, with code and a plot.",
            {"researcher": [], "chart_maker": [], "coder": [], "writer": ["researcher", "chart_maker", "coder"]},
        ),
        ("In 2021 and in 2022 I met 2 people.", {"researcher": [], "writer": ["researcher"]}),
    ],
)  # fmt: skip
def test_plan_is_the_one_that_the_words_ask_for(
    prompt: str, expected: dict[str, list[str]]
) -> None:
    """Research and writing by default; a chart for chart words or numbers with labels; code; both with words where asked."""
    assert shape(prompt) == expected


def test_image_has_its_analyst_only_where_there_is_one() -> None:
    """It is the image that counts, not the word."""
    assert shape("What is this?", has_image=True) == {"image_analyst": []}
    assert "image_analyst" not in shape("Describe the image.", has_image=False)


def test_agents_that_are_not_offered_get_nothing() -> None:
    """The plan does with those who are there."""
    assert shape("What is a signal box?", agents=("writer", "coder")) == {"writer": []}
    assert shape("Write some Python code.", agents=("researcher", "writer")) == {
        "researcher": [],
        "writer": ["researcher"],
    }


def test_fewest_tasks_leave_the_most_needed() -> None:
    """With room for one task it is the writing, and it needs nobody."""
    assert shape("Compare tea and coffee.", max_tasks=1) == {"writer": []}
    assert shape("Compare tea and coffee.", max_tasks=2) == {"researcher": [], "writer": ["researcher"]}  # fmt: skip


def test_nobody_who_fits_is_said_with_what_to_set() -> None:
    """Where no template has work for those who are offered, the planner does not make any up."""
    result = planned("What is a signal box?", agents=("image_analyst", "juggler"))

    assert isinstance(result, Terminal)
    assert "image_analyst, juggler" in result.detail
    assert "SIGNALBOX_MODEL__PROVIDER" in result.detail


def test_chart_task_does_not_quote_the_request() -> None:
    """A request that is cut would lose some of its numbers, so the chart is drawn from the request itself."""
    result = planned("Chart: " + ", ".join(f"town {n} {n}" for n in range(300)))
    assert isinstance(result, Reply)

    assert [one["description"] for one in result.data["tasks"]] == [
        "Draw the numbers of the request as a chart."
    ]


@given(
    st.text(min_size=1, max_size=400)
    | st.lists(
        st.sampled_from(["compare", "a", "and", "chart", "code", "1", "x 2,", "explain", ".", "\n"])
    ).map(" ".join),
    st.sets(st.sampled_from(EVERYBODY), min_size=1),
    st.integers(1, 8),
    st.booleans(),
)
def test_any_request_has_a_sound_plan_or_none(
    prompt: str, agents: set[str], max_tasks: int, has_image: bool
) -> None:
    """What the template answers fits the planner's contract and is never refused by the orchestrator."""
    result = planned(prompt, agents=tuple(sorted(agents)), max_tasks=max_tasks, has_image=has_image)
    if isinstance(result, Terminal):
        return
    assert isinstance(result, Reply)

    assert OUTPUT.violations(dict(result.data)) == ()
    read = read_plan(
        result.data, step_id="plan", agents=sorted(agents), max_tasks=max_tasks, taken=("plan",)
    )
    assert not isinstance(read, RefusedPlan), read
