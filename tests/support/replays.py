"""Replay a recorded run as the command does, without the command line."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from connectors.broker import Broker
from connectors.registry_history import read_history
from connectors.replay_reading import fill
from connectors.replay_run import ModelCaller, Replay
from connectors.replay_store import ReplayStore
from connectors.topic_range import resolve_range
from signalbox.definitions.fleet import ActiveSet
from signalbox.replay.answers import Recorded
from signalbox.replay.bounds import parse_bound
from signalbox.replay.report import Report
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules


def replayed(
    broker: Broker,
    candidate: ActiveSet,
    *,
    start: str = "earliest",
    stop: str = "latest",
    engine: EnginePolicy | None = None,
    model: str | None = None,
    caller: ModelCaller | None = None,
) -> dict[str, Any]:
    """Return the JSON report of a replay with `candidate`."""
    engine = engine or EnginePolicy()
    bounds = (parse_bound(start, "--from"), parse_bound(stop, "--to"))
    spans = resolve_range(broker, "agent_messages", bounds, (start, stop))
    versions = read_history(broker, topic_prefix="", engine=engine)
    report = Report(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(ReplayStore(Path(folder))) as store,
    ):
        report.skipped.update(fill(store, broker, "", spans))
        rulebook = Rulebook(Rules.compile(candidate, engine))
        asyncio.run(Replay(store, Recorded(store, versions, rulebook, model), caller).run(report))
    return report.as_json()
