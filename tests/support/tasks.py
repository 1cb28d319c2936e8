"""Tasks and contexts for handlers under test: no broker, a fixed clock, the outbox in a temporary folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.task import Context, Task
from connectors.chat_model import ChatModel
from connectors.embedded_model import EmbeddedChatModel
from signalbox.contracts.envelope import Envelope

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def task_of(
    data: dict[str, Any],
    *,
    task_id: str = "task-1",
    cause: str = "message-1",
    conversation: str = "conversation-1",
    attempt: int = 1,
) -> Task:
    """A task as the orchestrator assigns it."""
    envelope = Envelope(
        id=task_id,
        source="orchestrator",
        type="task.assigned",
        time=NOW,
        subject=conversation,
        causationid=cause,
        data=data,
    )
    return Task(envelope, attempt)


def context_of(outbox_dir: Path, model: ChatModel | None = None) -> Context:
    """A context whose clock stands still."""

    async def ignore(text: str, percent: float | None) -> None:
        return None

    return Context(
        agent="under_test",
        chat_model=model or EmbeddedChatModel(),
        model_timeout_seconds=5,
        outbox_dir=outbox_dir,
        now=lambda: NOW,
        report_status=ignore,
    )
