"""Synthesizer: one answer out of what every task of a plan came to, where no model writes it. Pure.

Takes the request and the plan's results, answers `answer.given`. What was skipped is said to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agents.research.material import NO_MODEL, clip, told
from agents.task import Context, Task

_MAX_ANSWER_CHARS: Final = 16_000
_PART_CHARS: Final = 6000


def put_together(task: Task, context: Context) -> dict[str, Any]:
    """Answer `{answer, written_by}`: what each task answered, in the plan's order, texts and code as they are."""
    results = task.data["results"]
    parts = [f"{NO_MODEL} This puts together what the {_count(len(results))} answered."]
    # What a writer arranged need not be told a second time.
    is_written = any(one["agent"] == "writer" and one["status"] == "done" for one in results)
    kept = [one for one in results if not (is_written and one["agent"] == "researcher")]
    parts += [_part(one) for one in kept]
    return {
        "answer": "\n\n".join(parts)[:_MAX_ANSWER_CHARS],
        "written_by": context.chat_model.name,
    }


def _part(one: Mapping[str, Any]) -> str:
    heading = f"{one['id']} ({one['agent']})"
    answer = one["result"]
    if one["status"] != "done" or answer is None:
        return f"{heading}: skipped. {clip(str(one['task']), 200)}"
    return f"{heading}:\n{told(answer)[:_PART_CHARS]}"


def _count(number: int) -> str:
    return "task" if number == 1 else f"{number} tasks"
