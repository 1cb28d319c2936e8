"""The read model's consumer as a process: `python -m signalbox.gateway.readmodel`."""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial

from agents.log_lines import configure_logging
from connectors.kafka import KafkaBroker
from connectors.prometheus import Exposition, MetricsServer, TargetFile
from signalbox.engine import engine_policy
from signalbox.gateway.definitions import Definitions
from signalbox.gateway.reach import require_answer
from signalbox.gateway.readmodel.follower import Follower
from signalbox.gateway.readmodel.metrics import Measurements
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import ReadModel
from signalbox.settings import Settings


def main() -> int:
    """Follow the topics until SIGTERM."""
    configure_logging()
    settings = Settings()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    place = ReadModelPlace.of(settings)
    definitions = Definitions(ReadModel(place), engine_policy(settings))
    measured = Measurements(
        place,
        settings.kafka.topic_prefix,
        active=lambda: definitions.view().state.active.agents,
    )
    follower = Follower(
        KafkaBroker.of(settings.kafka),
        settings.kafka.topic_prefix,
        place,
        is_stopped=stopping.is_set,
        sleep=stopping.wait,
        probe=partial(require_answer, settings.kafka),
        measured=measured,
    )
    file = TargetFile(settings, "readmodel", {"job": "readmodel"})
    with MetricsServer(Exposition(measured.families), settings.metrics, file):
        follower.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
