"""The research fleet in the real reducer: a prompt becomes a plan, the plan's tasks their agents' work, and all of it one answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.scripted_model import ScriptedChatModel
from signalbox.cli.demo_leads import load_seeds
from signalbox.contracts.chat import ChatRequest
from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from tests.support.crew import DEFINITIONS, Crew
from tests.support.tasks import NOW, context_of

PROMPT = "prompt.submitted"


@pytest.fixture
def crew(tmp_path: Path) -> Crew:
    """The fleet without a model."""
    return Crew("research", context_of(tmp_path))


def plan(*tasks: tuple[str, str, list[str]]) -> dict[str, Any]:
    """A plan as a model writes it."""
    return {
        "tasks": [
            {"id": name, "agent": agent, "description": f"Do {name}.", "needs": needs}
            for name, agent, needs in tasks
        ]
    }


def scripted(
    tmp_path: Path, planned: Mapping[str, Any] | list[Any], **more: Any
) -> tuple[Crew, ScriptedChatModel]:
    """The fleet with a model that plans so (of a list, one after the other), and writes one sentence elsewhere."""
    plans = list(planned) if isinstance(planned, list) else None

    def say(request: ChatRequest) -> Any:
        if request.schema_name == "planner":
            return plans.pop(0) if plans else planned
        said: dict[str, Any] = {
            "researcher": {"summary": "Tea is older.", "points": ["Tea: 2737 BC."], "gaps": []},
            "writer": {"title": "Tea", "text": "Tea is older than coffee."},
            "synthesizer": {"answer": "Tea, by far."},
            **more,
        }
        return said[request.schema_name]

    model = ScriptedChatModel(say, name="ollama/scripted")
    return Crew("research", context_of(tmp_path, model)), model


def test_picture_of_a_request_goes_to_who_looks_at_it_and_to_nobody_else(tmp_path: Path) -> None:
    """A picture is a quarter of a megabyte as text: every other task of the plan is as small as without one."""
    picture = f"data:image/png;base64,{'A' * 200_000}"
    crew, _ = scripted(
        tmp_path,
        plan(("find", "researcher", []), ("look", "image_analyst", []), ("tell", "writer", ["find", "look"])),
    )  # fmt: skip
    crew.send({"prompt": "What is this?", "image": picture}, kind=PROMPT)

    sizes = {task.target: len(task.to_json()) for task in crew.given}
    assert crew.tasks_of("image_analyst")[0]["image"] == picture
    assert set(sizes) == {"planner", "researcher", "image_analyst", "writer", "synthesizer"}
    assert [name for name, size in sizes.items() if size > 10_000] == ["image_analyst"]


def test_question_is_researched_then_written_then_answered(crew: Crew) -> None:
    """The plain plan: research first, the writer is handed what was found, and the answer says that no model wrote it."""
    outcome = crew.send({"prompt": "What is a signal box?"}, kind=PROMPT)

    assert [task.target for task in crew.given] == [
        "planner",
        "researcher",
        "writer",
        "synthesizer",
    ]
    assert outcome.status == "completed"
    assert outcome.result is not None
    assert outcome.result["answer"].startswith("No model was asked.")
    assert outcome.result["written_by"].startswith("embedded")
    (written,) = crew.tasks_of("writer")
    assert written["results"]["research"]["points"] == ["What is a signal box?"]
    assert written["task"].startswith("Write the answer")


def test_tasks_that_need_nothing_of_each_other_go_out_together(crew: Crew) -> None:
    """Both sides of a comparison are looked at before either has answered."""
    crew.world.send(
        Envelope(id="m", source="cli", type=PROMPT, time=NOW, subject="c", data={"prompt": "Compare tea with coffee."})
    )  # fmt: skip
    planner = crew.world.dispatches[-1].task
    crew.world.send(crew.handle(planner))

    assert [one.agent for one in crew.world.dispatches[1:]] == ["researcher", "researcher"]
    subjects = [one.task.data["task"] for one in crew.world.dispatches[1:]]
    assert subjects == [
        "Find out about tea, to compare it.",
        "Find out about coffee, to compare it.",
    ]


def test_answers_carry_conversation_and_task(crew: Crew) -> None:
    """An answer says whose it is: the conversation it belongs to, and the task it answers."""
    crew.send({"prompt": "What is a signal box?"}, kind=PROMPT, conversation="request-7")
    task = crew.given[1]
    answer = crew.handle(task)

    assert (answer.subject, answer.causationid) == ("request-7", task.id)
    assert len({one.id for one in crew.given}) == len(crew.given)


def test_model_plans_and_every_agent_is_asked_with_what_came_before(tmp_path: Path) -> None:
    """The plan is the model's; a worker's prompt has its task and the earlier results; the answer is the synthesizer's."""
    crew, model = scripted(tmp_path, plan(("old", "researcher", []), ("text", "writer", ["old"])))
    outcome = crew.send({"prompt": "Is tea older than coffee?"}, kind=PROMPT)

    assert outcome.status == "completed"
    assert outcome.result == {
        "answer": "Tea, by far.",
        "written_by": "ollama/scripted",
        "agents": ["researcher", "writer"],
    }
    asked = {request.schema_name: request.user for request in model.requests}
    assert "- chart_maker: " in asked["planner"]
    assert "At most 8 tasks." in asked["planner"]
    assert "Do text." in asked["writer"]
    assert "2737 BC" in asked["writer"]
    assert 'status="done"' in asked["synthesizer"]
    assert "Tea is older than coffee." in asked["synthesizer"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (plan(("a", "wizard", [])), "choose one of researcher, writer"),
        (plan(("a", "researcher", ["b"]), ("b", "writer", ["a"])), "circle"),
        (plan(("a", "researcher", ["ghost"])), "no task of this plan"),
        (plan(("a", "researcher", []), ("a", "writer", [])), "ids are unique"),
        (plan(*((f"t{n}", "researcher", []) for n in range(9))), "at most 8"),
    ],
    ids=["unknown agent", "circle", "unknown need", "same id", "too many"],
)
def test_refused_plan_is_told_to_the_planner_and_never_given_out(
    tmp_path: Path, bad: dict[str, Any], said: str
) -> None:
    """What is wrong goes back into the prompt; the second plan is carried out, nothing of the first."""
    crew, model = scripted(tmp_path, [bad, plan(("ok", "researcher", []))])
    outcome = crew.send({"prompt": "Is tea older?"}, kind=PROMPT)

    assert outcome.status == "completed"
    assert [task.data["task"] for task in crew.given if "task" in task.data] == ["Do ok."]
    second = [r.user for r in model.requests if r.schema_name == "planner"][1]
    assert said in second.partition("<refused>")[2]
    refused = [d for d in crew.world.decisions if d.slot.startswith("plan:plan:refused")]
    assert said in refused[0].reason


def test_planner_that_never_plans_soundly_ends_the_conversation_as_failed(tmp_path: Path) -> None:
    """Three unsound plans, and the outcome says what was wrong; nobody but the planner was asked."""
    crew, _ = scripted(tmp_path, plan(("a", "wizard", [])))
    outcome = crew.send({"prompt": "Is tea older?"}, kind=PROMPT)

    assert outcome.status == "failed"
    assert "the plan of planner was refused" in outcome.detail
    assert {task.target for task in crew.given} == {"planner"}


def test_ten_thousand_tasks_are_no_plan(tmp_path: Path) -> None:
    """The answer contract stops what no plan can be, and the conversation ends."""
    crew, _ = scripted(tmp_path, plan(*((f"t{n}", "researcher", []) for n in range(10_000))))
    outcome = crew.send({"prompt": "Is tea older?"}, kind=PROMPT)

    assert outcome.status == "failed"
    assert len(outcome.detail) <= 2000


def test_task_that_fails_is_skipped_and_the_answer_says_so(crew: Crew) -> None:
    """A chart without numbers cannot be drawn: after its second attempt the plan goes on without it."""
    outcome = crew.send({"prompt": "Draw a chart."}, kind=PROMPT)

    assert outcome.status == "completed"
    assert outcome.result is not None
    assert "chart (chart_maker): skipped." in outcome.result["answer"]
    slots = {one.slot: one for one in crew.world.decisions}
    assert "no numbers with labels" in slots["step:plan_chart:failed"].reason
    assert slots["step:plan_chart:failed"].agent == NONE
    (told,) = crew.tasks_of("synthesizer")
    assert told["results"][0] | {"task": ""} == {
        "id": "chart", "agent": "chart_maker", "task": "", "status": "skipped", "result": None,
    }  # fmt: skip


def test_blank_prompt_starts_nothing(crew: Crew) -> None:
    """Nobody takes it, so it ends as none."""
    assert crew.send({"prompt": " \n"}, kind=PROMPT).status == "none"
    assert crew.given == []


@pytest.mark.parametrize(
    "line",
    [
        json.loads(line)
        for line in (DEFINITIONS / "research/demo/messages.jsonl").read_text().splitlines()
    ],
    ids=lambda line: line["name"],
)
def test_demo_ends_as_its_file_says(tmp_path: Path, line: dict[str, Any]) -> None:
    """Each line of the demo, without a model: the outcome it expects, with what its result must say."""
    crew = Crew("research", context_of(tmp_path))
    outcome = crew.send(line["data"], kind=line["type"])

    assert outcome.status == line["expect"]
    result = json.dumps(outcome.result, ensure_ascii=False)
    assert [text for text in line.get("says", []) if text not in result] == []


def test_demo_has_each_kind_of_request() -> None:
    """At least six prompts, and every specialist has work in one of them."""
    seeds = load_seeds(DEFINITIONS / "research/demo", 10, run="r", at=NOW)

    assert len({seed.name for seed in seeds}) == 10
    said = {text for seed in seeds for text in seed.says}
    assert said >= {"coder", "chart_maker", "image_analyst"}
