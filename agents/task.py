"""What a handler is given: the `Task` (one envelope, one attempt) and the `Context` (all it may touch besides)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.result import HandlerResult
from signalbox.contracts.envelope import Envelope

if TYPE_CHECKING:
    from connectors.chat_model import ChatModel
    from connectors.smtp import SmtpServer
    from connectors.website import WebsiteReader


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one message. `attempt` counts from 1; a redelivery after a crash counts too."""

    envelope: Envelope
    attempt: int

    @property
    def id(self) -> str:
        """The task's id; the same at every attempt, so it can key an effect."""
        return self.envelope.id

    @property
    def data(self) -> dict[str, Any]:
        """The payload; the input contract has accepted it."""
        return self.envelope.data

    @property
    def conversation_id(self) -> str:
        """The conversation that the task belongs to."""
        return self.envelope.subject


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may use besides its task.

    Attributes:
        agent: the agent's name.
        chat_model: the configured model; its `name` says which, `embedded` where there is none.
        model_timeout_seconds: how long one call of it may take.
        outbox_dir: where effects that must happen once are written (`<home>/outbox`); exists.
        now: the moment, in UTC. Handlers read no other clock.
        report_status: sends one `task.status`; use `status`.
        mail_server: where mails are handed over; None where they stay files.
        websites: reads public websites; None where that is switched off.
    """

    agent: str
    chat_model: ChatModel
    model_timeout_seconds: float
    outbox_dir: Path
    now: Callable[[], datetime]
    report_status: Callable[[str, float | None], Awaitable[None]]
    mail_server: SmtpServer | None = None
    websites: WebsiteReader | None = None

    async def status(self, text: str, percent: float | None = None) -> None:
        """Tell the conversation that work goes on; it extends the task's deadline, never past the conversation's own.

        Args:
            text: what is being done, at most 2,000 characters; `trace` shows it.
            percent: how much of it is done, 0 to 100; None where nobody knows.

        Delivery: at most once, outside the task's transaction; a status is never an effect. At most 999 of one attempt are
        sent, further ones are dropped.
        """
        await self.report_status(text, percent)


Handler = Callable[[Task, Context], Awaitable[HandlerResult]]
"""How the runner calls a handler. `TerminalError` counts as Terminal; every other exception as Retry."""
