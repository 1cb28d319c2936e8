"""Notes what was heard; its answer ends there."""

from __future__ import annotations

from agents.result import Reply
from agents.task import Context, Task


def note(task: Task, context: Context) -> Reply:
    """Answer one line that names the event and what it was about."""
    extra = task.envelope.model_extra or {}
    about = task.data.get("symbol") or task.data.get("account") or task.data.get("venue") or "-"
    return Reply({"noted": f"{extra.get('causetype', 'a task')} about {about}"[:300]})
