"""Researcher: what it answers where no model does. It looks nothing up and says so. Pure.

Takes a planned task, answers `research.done`.
"""

from __future__ import annotations

from typing import Any, Final

from agents.research.material import NO_MODEL, clip, sentences
from agents.task import Context, Task

_MAX_POINTS: Final = 12
_POINT_CHARS: Final = 500
_GAP_CHARS: Final = 300


def list_what_is_given(task: Task, context: Context) -> dict[str, Any]:
    """Answer `{summary, points, gaps, written_by}`: the request's own sentences, and what nobody looked up."""
    given = sentences(task.data["prompt"], limit=_MAX_POINTS, chars=_POINT_CHARS)
    return {
        "summary": f"{NO_MODEL} Nothing was looked up; the points are the request's own words.",
        "points": given,
        "gaps": [f"Not looked up: {clip(task.data['task'], _GAP_CHARS)}"],
        "written_by": context.chat_model.name,
    }
