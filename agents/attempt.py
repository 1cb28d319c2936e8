"""Run a handler once, within its time, and turn whatever happens into a `HandlerResult`."""

from __future__ import annotations

import asyncio

from agents.result import HandlerResult, Retry, Terminal
from agents.task import Context, Handler, Task
from signalbox.errors import RetryableError, TerminalError


async def run_handler(
    handler: Handler, task: Task, context: Context, *, timeout_seconds: float
) -> HandlerResult:
    """Run `handler` on `task`; never raises but for cancellation.

    A handler that is cancelled by its timeout has its connections closed; a blocking function in a thread cannot be
    stopped, its late result is dropped.
    """
    timer = asyncio.timeout(timeout_seconds)
    try:
        async with timer:
            return await handler(task, context)
    except TerminalError as error:
        return Terminal(error.reason, str(error))
    except RetryableError as error:
        return Retry(error.retry_after_seconds, str(error))
    except Exception as error:
        if timer.expired():
            return Retry(None, f"no answer within {timeout_seconds:g} s")
        # A handler is not ours; whatever it raises is one failed attempt.
        return Retry(None, f"{type(error).__name__}: {error}")
