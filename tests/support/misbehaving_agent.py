"""An agent process whose handler does what its task says: answers, dawdles, or takes the process down."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from agents.__main__ import configure_logging
from agents.process import AgentProcess
from agents.result import HandlerResult, Reply
from agents.task import Context, Task
from connectors.kafka import KafkaBroker
from signalbox.settings import Settings


async def handle(task: Task, context: Context) -> HandlerResult:
    """Note the call in a file, then do as told by `data.lead`."""
    lead = task.data["lead"]
    with (Path(os.environ["CALLS"])).open("a") as calls:
        calls.write(f"{task.id}\n")
    if lead.get("kills"):
        os._exit(9)
    await asyncio.sleep(lead.get("seconds", 0))
    return Reply(task.data)


if __name__ == "__main__":
    configure_logging()
    settings = Settings()
    process = AgentProcess(
        sys.argv[1],
        KafkaBroker(settings.kafka.servers),
        settings,
        handlers=lambda _: handle,
        ends_when_removed="wait" not in sys.argv,
    )
    sys.exit(asyncio.run(process.run()))
