"""Planner: a plan template where no model plans, chosen by what the request plainly asks for. Pure.

Takes the request and the agents that may be given tasks; answers `plan.written`. Only agents that are offered get a task. The
default is research and then writing; a picture, numbers and code have their specialists.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from agents.research.chart_numbers import labelled_numbers
from agents.research.material import clip
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Task

RESEARCHER: Final = "researcher"
WRITER: Final = "writer"
CODER: Final = "coder"
CHART_MAKER: Final = "chart_maker"
IMAGE_ANALYST: Final = "image_analyst"

_ASKS_FOR_CODE: Final = re.compile(
    r"\b(?:code|function|script|implement|algorithm|regex|unit tests?|python|javascript|typescript|rust|bash|sql)\b",
    re.IGNORECASE,
)
_ASKS_FOR_A_CHART: Final = re.compile(
    r"\b(?:charts?|plot|plots|diagrams?|graph|histogram|visuali[sz](?:e|ation|ing))\b",
    re.IGNORECASE,
)
_ASKS_FOR_WORDS: Final = re.compile(
    r"\b(?:research|investigate|find out|explain|summari[sz]e|summary|compare|article|report|essay|blog|letter|e-?mail|memo"
    r"|write about)\b",
    re.IGNORECASE,
)
_COMPARED: Final = re.compile(
    r"\bcompare (?P<one>[^.?!,;:]{1,80}?) (?:and|with|to) (?P<other>[^.?!,;:]{1,80})", re.IGNORECASE
)
_ENOUGH_NUMBERS: Final = 3
_QUOTED_CHARS: Final = 600


@dataclass(frozen=True, slots=True)
class _Planned:
    id: str
    agent: str
    description: str
    needs: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "agent": self.agent,
            "description": self.description,
            "needs": list(self.needs),
        }


def plan_by_template(task: Task, context: Context) -> HandlerResult:
    """Answer `{tasks, written_by}`; equal requests and agents, equal plans."""
    offered = [agent["name"] for agent in task.data["agents"]]
    tasks = planned(task.data, offered)[: task.data["max_tasks"]]
    if not tasks:
        return Terminal(
            "handler_failed",
            f"no template has work for any of {', '.join(offered)}; set SIGNALBOX_MODEL__PROVIDER, and a model plans",
        )
    kept = {one.id for one in tasks}
    # The most needed were kept; whoever waits for others comes last.
    tasks.sort(key=lambda one: bool(one.needs))
    plan = [replace(one, needs=tuple(n for n in one.needs if n in kept)) for one in tasks]
    return Reply({"tasks": [one.as_json() for one in plan], "written_by": context.chat_model.name})


def planned(data: Mapping[str, Any], offered: Collection[str]) -> list[_Planned]:
    """Return the tasks that a request plainly asks for, the most needed first."""
    prompt = str(data["prompt"])
    special = [one for one in _specialists(data, prompt) if one.agent in offered]
    if special and not _ASKS_FOR_WORDS.search(prompt):
        return special
    research = [one for one in _research(prompt) if one.agent in offered]
    needs = tuple(one.id for one in (*research, *special))
    about = clip(prompt, _QUOTED_CHARS)
    writing = _Planned(
        "write", WRITER, f"Write the answer from what the other tasks found: {about}", needs
    )
    return [*([writing] if WRITER in offered else []), *research, *special]


def _specialists(data: Mapping[str, Any], prompt: str) -> list[_Planned]:
    about = clip(prompt, _QUOTED_CHARS)
    found: list[_Planned] = []
    if data.get("has_image"):
        found.append(
            _Planned(
                "look", IMAGE_ANALYST, f"Describe the image as far as it is asked for: {about}"
            )
        )
    if _ASKS_FOR_A_CHART.search(prompt) or _has_numbers(prompt):
        # Not quoted: a request that is cut would lose some of its numbers.
        found.append(_Planned("chart", CHART_MAKER, "Draw the numbers of the request as a chart."))
    if _ASKS_FOR_CODE.search(prompt):
        found.append(_Planned("code", CODER, f"Write the code that is asked for: {about}"))
    return found


def _has_numbers(prompt: str) -> bool:
    named = [one for one in labelled_numbers(prompt) if not one.label.isdecimal()]
    return len(named) >= _ENOUGH_NUMBERS


def _research(prompt: str) -> list[_Planned]:
    """Return one task, or one for each of two things that are compared: those can be done side by side."""
    compared = _COMPARED.search(prompt)
    if compared is None:
        about = clip(prompt, _QUOTED_CHARS)
        return [_Planned("research", RESEARCHER, f"Find out what answers the request: {about}")]
    return [
        _Planned(f"research_{number}", RESEARCHER, f"Find out about {compared[name].strip()}, to compare it.")
        for number, name in enumerate(("one", "other"), start=1)
    ]  # fmt: skip
