"""Writer: what it answers where no model does. It arranges what it was given and adds nothing. Pure.

Takes a planned task, answers `text.written`.
"""

from __future__ import annotations

from typing import Any, Final

from agents.research.material import NO_MODEL, clip, sentences, told
from agents.task import Context, Task

_TITLE_CHARS: Final = 120
_PART_CHARS: Final = 3000
_MAX_TEXT_CHARS: Final = 8000


def arrange(task: Task, context: Context) -> dict[str, Any]:
    """Answer `{title, text, written_by}`: the request, and below it what each earlier task answered."""
    prompt = task.data["prompt"]
    parts = [
        f"{NO_MODEL} This text only arranges what it was given.",
        f"Request: {clip(prompt, 800)}",
    ]
    for name, answer in task.data["results"].items():
        if answer is None:
            parts.append(f"From `{name}`: nothing, it was skipped.")
            continue
        said = told(answer)[:_PART_CHARS]
        parts.append(f"From `{name}`:\n{said}" if said else f"From `{name}`: no words.")
    title = sentences(prompt, limit=1, chars=_TITLE_CHARS)
    return {
        "title": title[0] if title else "A request without words",
        "text": "\n\n".join(parts)[:_MAX_TEXT_CHARS],
        "written_by": context.chat_model.name,
    }
