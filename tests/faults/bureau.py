"""A fleet whose workflow plans, requests for it, and the judgement of what became of each: all follows from the request alone."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from signalbox.definitions.fleet import Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.definitions.workflow import WorkflowDefinition
from tests.faults.effects import effects_in
from tests.faults.fleet import LIMITS
from tests.faults.history import Stored
from tests.faults.work import Piece, Work, slots_of
from tests.support.fleets import agent

WORKERS = ("digger", "joiner")
TAKES = {
    "planner": ("tasks", "agents", "max_tasks"),
    **dict.fromkeys(WORKERS, ("request", "task", "results")),
    "teller": ("request", "results"),
}
DOES = {"planner": "plan", "teller": "tell"}
FATES: Mapping[int, dict[str, str]] = {
    1: {"find1": "refuse"},
    2: {"plan": "once", "find2": "once"},
    3: {"plan": "refuse"},
    4: {"answer": "refuse"},
    5: {"both": "once", "answer": "once"},
}
"""By the request's number modulo ten: what goes wrong with it, and whether for good."""


def bureau(seconds: float = 0.3) -> Fleet:
    """Who plans, who does tasks, each for so long, and who puts the results together."""
    given = {"request": "{{ data.request }}", "trouble": "{{ data.trouble }}"}
    policy = {"name": "bureau", "budgets": {"hops": 60, "seconds": 1200, "task_seconds": 600}}
    agents = {
        name: agent(
            name,
            fields,
            closed=False,
            handoffs=[],
            limits=LIMITS,
            handler={"python": f"examples.planned_work:{DOES.get(name, 'work')}"},
        )
        for name, fields in TAKES.items()
    }
    workflow = {
        "name": "answer_request",
        "description": "Plans a request, does its tasks, and puts their results together.",
        "starts_on": [Requests.starts_on],
        "input": {
            "description": "A request, its own plan, and what goes wrong with it.",
            "schema": {"type": "object", "required": ["request", "tasks", "trouble"]},
        },
        "steps": [
            {
                "id": "plan",
                "agent": "planner",
                "input": {"tasks": "{{ data.tasks }}", "trouble": "{{ data.trouble }}"},
                "plan": {
                    "agents": WORKERS,
                    "rounds": 1,
                    "input": {**given, "seconds": seconds},
                    "retries": 1,
                    "on_failure": "skip",
                },
            },
            {
                "id": "answer",
                "agent": "teller",
                "needs": ["plan"],
                "retries": 1,
                "input": {**given, "seconds": seconds, "results": {"$tasks": "plan"}},
            },
        ],
        "result": {"made": "{{ steps.answer.made }}"},
        "on_failure": "fail",
        "timeout_seconds": 900,
    }
    definition = WorkflowDefinition.model_validate(workflow)
    return Fleet(FleetPolicy.model_validate(policy), agents, {definition.name: definition})


class Requests(Work):
    """The requests of one run, by seed. The watched one is planned twice, and one of its tasks is given out twice."""

    starts_on = "request.made"

    def _piece(self, name: str, number: int, chance: random.Random) -> Piece:
        finds = [f"find{one}" for one in range(1, chance.choice((2, 3, 4)) + 1)]
        tasks = [_task(one, chance.choice(WORKERS)) for one in finds]
        tasks.append(_task("both", "joiner", "find1", "find2"))
        tasks.append(_task("last", chance.choice(WORKERS), "both", finds[-1]))
        trouble = FATES.get(number % 10, {})
        is_doomed = trouble.get("plan") == "refuse" or trouble.get("answer") == "refuse"
        return Piece(name, {"request": name, "tasks": tasks, "trouble": trouble}, is_doomed)

    def judge(self, records: Iterable[Stored], outbox: Path) -> Counter[str]:
        """Compare outcome, decisions, what each task was given and its effects, request by request; return how they ended."""
        records = list(records)
        outcomes, effects = self.outcomes(records), effects_in(outbox)
        given, answers = _tasks_by_conversation(records), _answers(records)
        statuses = Counter[str]()
        for piece in self.placed:
            end, wanted = outcomes[piece.name], Wanted(piece)
            statuses[end["status"]] += 1
            ended = (end["status"], end.get("result"))
            assert ended == wanted.outcome, f"{piece.name} ended {end}, {wanted.outcome} is right"
            decided = slots_of(records, piece.name)
            assert decided == wanted.slots, f"{piece.name}: {decided}, {wanted.slots} is right"
            acted = Counter[str]()
            for name, task in given[piece.name]:
                acted[name] += effects.get(task["id"], 0)
                # No request ends while a task of it runs, so even one that failed has all its answers.
                told = answers[task["id"]]
                assert told == 1, f"{piece.name}: {name} was answered {told} times"
                if name in wanted.results:
                    found = task["data"]["results"]
                    right = wanted.results[name]
                    assert found == right, f"{piece.name}: {name} got {found}, {right} is right"
            assert +acted == wanted.effects, f"{piece.name}: {+acted}, {wanted.effects} is right"
        return statuses


class Wanted:
    """What must become of a request, whatever dies meanwhile: a pure function of what was placed."""

    def __init__(self, piece: Piece) -> None:
        self._data = piece.data
        self._trouble: Mapping[str, str] = piece.data["trouble"]
        self._made: dict[str, dict[str, str] | None] = {}
        self.results: dict[str, Any] = {}
        """What each task, and `answer`, is given of the others."""
        self.slots = Counter(self._slots())
        self.effects = Counter[str](planner=1 + ("plan" in self._trouble))
        self.outcome: tuple[str, Any] = ("failed", None)
        if self._trouble.get("plan") == "refuse":
            return
        for task in piece.data["tasks"]:
            self._do(task)
        listed = [self._listed(task) for task in piece.data["tasks"]]
        self.results["answer"] = listed
        if self._trouble.get("answer") != "refuse":
            self.effects["answer"] = 1
            made = "; ".join(
                f"{one['id']} by {one['agent']}, {one['status']}: {_said(one['result'])}"
                for one in listed
            )
            self.outcome = ("completed", {"made": made})

    def _slots(self) -> Iterator[str]:
        yield "step:plan"
        if "plan" in self._trouble:
            yield from ("plan:plan:refused", "step:plan:2")
        if self._trouble.get("plan") == "refuse":
            yield from ("plan:plan:refused:2", "step:plan:failed")
            return
        yield "plan:plan"
        for name in (*(f"plan_{task['id']}" for task in self._data["tasks"]), "answer"):
            yield f"step:{name}"
            kind = self._trouble.get(name.removeprefix("plan_"))
            if kind is not None:
                yield f"step:{name}:" + ("2" if kind == "once" else "failed")

    def _do(self, task: Mapping[str, Any]) -> None:
        name, given = task["id"], {one: self._made[one] for one in task["needs"]}
        self.results[name] = given
        if self._trouble.get(name) == "refuse":
            self._made[name] = None
            return
        parts = ", ".join(f"{one}={_said(given[one])}" for one in sorted(given))
        self._made[name] = {"made": f"{name} of {self._data['request']} ({parts})"}
        self.effects[name] = 1

    def _listed(self, task: Mapping[str, Any]) -> dict[str, Any]:
        result = self._made[task["id"]]
        return {
            "id": task["id"],
            "agent": task["agent"],
            "task": task["description"],
            "status": "skipped" if result is None else "done",
            "result": result,
        }


def _task(name: str, agent_name: str, *needs: str) -> dict[str, Any]:
    return {"id": name, "agent": agent_name, "description": name, "needs": list(needs)}


def _said(result: Mapping[str, str] | None) -> str:
    return "nothing" if result is None else result["made"]


def _tasks_by_conversation(
    records: Iterable[Stored],
) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """What was given out, each with its name: the planned task's, `answer` or `planner`."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for record in records:
        agent_name = record.topic.removeprefix("agent_tasks_")
        if agent_name in TAKES and record.fields:
            name = "answer" if agent_name == "teller" else agent_name
            task = record.fields
            found[task["subject"]].append((task["data"].get("task", name), task))
    return found


def _answers(records: Iterable[Stored]) -> Counter[str]:
    """How often each task was answered, by its id."""
    return Counter(
        str(record.fields.get("causationid"))
        for record in records
        if record.topic == "agent_messages"
        and record.fields
        and str(record.fields.get("source")).startswith("agent/")
        and record.fields.get("type") != "task.status"
    )


BUREAU = bureau()
