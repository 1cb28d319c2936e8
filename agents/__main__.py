"""`python -m agents NAME [--instance N] [--when-removed wait]`: run one agent process. Settings come from the environment."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import structlog

from agents.exit_codes import EXIT_ERROR
from agents.log_lines import configure_logging
from agents.process import AgentProcess
from connectors.kafka import KafkaBroker
from signalbox.errors import SignalboxError
from signalbox.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run the process and return its exit code.

    0 drained, or removed and done; 1 an error; 2 misuse; 3 replaced by another process; 4 start it again: its code changed.
    """
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    parser.add_argument("name", help="the agent, as its definition names it")
    parser.add_argument(
        "--instance", default="0", help="tells processes of one agent apart; keep it over restarts"
    )
    parser.add_argument(
        "--when-removed",
        choices=("exit", "wait"),
        default="exit",
        help="once a removed agent has worked off its tasks; wait where an ended process is only started again",
    )
    chosen = parser.parse_args(arguments)
    configure_logging()
    settings = Settings()
    broker = KafkaBroker.of(settings.kafka)
    process = AgentProcess(
        chosen.name,
        broker,
        settings,
        instance=chosen.instance,
        ends_when_removed=chosen.when_removed == "exit",
    )
    try:
        return asyncio.Runner().run(process.run())
    except SignalboxError as error:
        structlog.get_logger().error("agent.ended", agent=chosen.name, detail=str(error))
        return EXIT_ERROR


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # A blocking handler that outlived its timeout still has its thread; waiting for it would hold up `down`.
    os._exit(code)
