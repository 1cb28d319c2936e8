"""The research fleet's texts without a model: they arrange what was given, add nothing, and say who did not write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.research.coder import skeleton
from agents.research.material import NO_MODEL, bullets, texts_of
from agents.research.researcher import list_what_is_given
from agents.research.synthesizer import put_together
from agents.research.writer import arrange
from agents.task import Context, Task
from signalbox.definitions.loader import load_fleet
from tests.support.crew import DEFINITIONS
from tests.support.tasks import context_of, task_of

FLEET = load_fleet(DEFINITIONS / "research")
Embedded = Callable[[Task, Context], dict[str, Any]]
WORKERS = [
    pytest.param("researcher", list_what_is_given, id="researcher"),
    pytest.param("writer", arrange, id="writer"),
    pytest.param("coder", skeleton, id="coder"),
]
FOUND = {
    "summary": "Tea is old.",
    "points": ["Tea: 2737 BC.", "Coffee: 15th century."],
    "gaps": [],
    "written_by": "somebody",
}


def answered(agent: str, embedded: Embedded, **data: Any) -> dict[str, Any]:
    """What it answers; both contracts hold."""
    data = {"prompt": "Is tea old? I think so.", "task": "Say it.", "results": {}, **data}
    assert FLEET.agents[agent].input.contract.violations(data) == ()
    answer = embedded(task_of(data), context_of(Path("/nonexistent")))
    assert FLEET.agents[agent].output.contract.violations(answer) == ()
    return answer


def result(
    name: str, agent: str, answer: Mapping[str, Any] | None, status: str = "done"
) -> dict[str, Any]:
    return {"id": name, "agent": agent, "task": f"Do {name}.", "status": status, "result": answer}


def put(*results: dict[str, Any]) -> str:
    """What the synthesizer makes of results."""
    data = {"prompt": "Is tea old?", "results": list(results)}
    assert FLEET.agents["synthesizer"].input.contract.violations(data) == ()
    answer = put_together(task_of(data), context_of(Path("/nonexistent")))
    assert FLEET.agents["synthesizer"].output.contract.violations(answer) == ()
    return str(answer["answer"])


@pytest.mark.parametrize(("agent", "embedded"), WORKERS)
def test_what_no_model_wrote_says_so(agent: str, embedded: Embedded) -> None:
    """In the words and in `written_by`."""
    answer = answered(agent, embedded)

    assert any(NO_MODEL in text for text in texts_of(answer))
    assert answer["written_by"] == "embedded:lexical"


def test_researcher_gives_the_requests_own_words_and_says_what_was_not_looked_up() -> None:
    """No fact comes from anywhere else."""
    answer = answered("researcher", list_what_is_given)

    assert answer["points"] == ["Is tea old?", "I think so."]
    assert answer["gaps"] == ["Not looked up: Say it."]


def test_writer_arranges_the_results_under_the_tasks_they_are_of() -> None:
    """Every text of a result is there, what was skipped is named, and digests and writers are not words."""
    answer = answered("writer", arrange, results={"research": FOUND, "look": None})

    assert answer["title"] == "Is tea old?"
    assert "From `research`:\n- Tea is old.\n- Tea: 2737 BC.\n- Coffee" in answer["text"]
    assert "From `look`: nothing, it was skipped." in answer["text"]
    assert "somebody" not in answer["text"]


@pytest.mark.parametrize(
    ("prompt", "language", "mark"),
    [
        ("Sort names.", "python", "# TODO: Sort names."),
        ("A SQL query for all customers", "sql", "-- TODO: A SQL query for all customers"),
        ("In Rust: sort names", "rust", "// TODO: In Rust: sort names"),
    ],
)
def test_coder_writes_the_task_as_comments_and_no_code(
    prompt: str, language: str, mark: str
) -> None:
    """In the language that was asked for, every line a comment."""
    answer = answered("coder", skeleton, prompt=prompt)

    assert answer["language"] == language
    assert mark in answer["code"]
    assert all(line.startswith(mark[:2].strip()) for line in answer["code"].splitlines())


def test_answer_has_every_task_and_says_what_is_missing() -> None:
    """Text and code whole, a chart with its numbers and file, a picture as it was described, a gap as a gap."""
    chart = {
        "chart": {
            "kind": "bar", "title": "", "x_label": "", "y_label": "",
            "series": [{"name": "", "points": [{"label": "Berlin", "value": 3.7}]}],
        },
        "file": {"path": "c/t.png"},
        "note": "As given.",
    }  # fmt: skip
    told = put(
        result(
            "code", "coder", {"language": "python", "code": "x = 1\n", "explanation": "Sets x."}
        ),
        result("chart", "chart_maker", chart),
        result("look", "image_analyst", {"description": "A cup.", "note": ""}),
        result("find", "researcher", FOUND),
        result("more", "researcher", None, "skipped"),
    )

    assert told.startswith(f"{NO_MODEL} This puts together what the 5 tasks answered.")
    assert "Sets x.\n\nx = 1" in told
    assert "A bar chart, c/t.png. As given.\n- Berlin 3.7" in told
    assert "look (image_analyst):\nA cup." in told
    assert "- Tea: 2737 BC." in told
    assert "more (researcher): skipped. Do more." in told


def test_what_a_writer_arranged_is_not_told_twice() -> None:
    """The findings stand in the text; a text that was skipped leaves them."""
    found = result("find", "researcher", FOUND)
    text = {"title": "Tea", "text": "Tea is old, it says."}

    assert "2737" not in put(found, result("write", "writer", text))
    assert "2737" in put(found, result("write", "writer", None, "skipped"))


def test_list_of_texts_counts_what_it_leaves_out() -> None:
    """A long answer says how long it is."""
    assert bullets({"points": ["a", "b", "c"]}, limit=2, chars=10) == ["- a", "- b", "- and 1 more"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)  # fmt: skip
answers = st.none() | st.dictionaries(
    st.sampled_from(["summary", "text", "code", "description", "chart", "note", "points"]),
    anything,
    max_size=4,
)


@pytest.mark.parametrize(("agent", "embedded"), WORKERS)
@given(
    prompt=st.text(min_size=1, max_size=8000).filter(lambda text: text.strip()),
    task=st.text(min_size=1, max_size=4000),
    results=st.dictionaries(st.text(min_size=1, max_size=10), answers, max_size=3),
)
def test_any_task_has_an_answer_that_fits(
    agent: str, embedded: Embedded, prompt: str, task: str, results: dict[str, Any]
) -> None:
    """Whatever was asked and found, the answer keeps the contract."""
    contract = FLEET.agents[agent].input.contract
    if not contract.violations({"prompt": prompt, "task": task, "results": results}):
        answered(agent, embedded, prompt=prompt, task=task, results=results)


@given(
    st.lists(st.tuples(st.sampled_from(["writer", "coder", "chart_maker"]), answers), max_size=4)
)
def test_any_results_have_an_answer_that_fits(found: list[tuple[str, Any]]) -> None:
    """Also answers of agents that somebody else put in: no shape of a result breaks the synthesizer."""
    put(*(result(f"t{n}", agent, answer) for n, (agent, answer) in enumerate(found)))
