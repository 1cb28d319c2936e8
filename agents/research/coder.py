"""Coder: what it answers where no model does. A skeleton of comments that restates the task; no code is made up. Pure.

Takes a planned task, answers `code.written`. Nothing that is written here is ever run.
"""

from __future__ import annotations

import re
from typing import Any, Final

from agents.research.material import NO_MODEL, sentences
from agents.task import Context, Task

_DEFAULT: Final = "python"
_COMMENTS: Final = {
    "python": "#",
    "bash": "#",
    "ruby": "#",
    "yaml": "#",
    "sql": "--",
    "javascript": "//",
    "typescript": "//",
    "java": "//",
    "rust": "//",
    "kotlin": "//",
    "swift": "//",
}
_NAMED: Final = re.compile(rf"\b(?:{'|'.join(_COMMENTS)})\b", re.IGNORECASE)
_MAX_LINES: Final = 40
_LINE_CHARS: Final = 100


def skeleton(task: Task, context: Context) -> dict[str, Any]:
    """Answer `{language, code, explanation, written_by}` in the language that the request names, else in Python."""
    prompt = task.data["prompt"]
    named = _NAMED.search(f"{prompt} {task.data['task']}")
    language = named[0].lower() if named else _DEFAULT
    mark = _COMMENTS[language]
    asked = sentences(prompt, limit=_MAX_LINES, chars=_LINE_CHARS)
    lines = [
        f"{mark} No model wrote code. What is to be done, in the words of the request:",
        mark,
        *(f"{mark} TODO: {one}" for one in asked),
    ]
    return {
        "language": language,
        "code": "\n".join(lines) + "\n",
        "explanation": f"{NO_MODEL} This is the task as comments, and no code.",
        "written_by": context.chat_model.name,
    }
