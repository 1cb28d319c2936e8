"""`signalbox source`: read leads from MongoDB or a drop folder onto `incoming_leads`, until told to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

import typer

from signalbox.cli import session
from signalbox.errors import ConfigurationError
from signalbox.settings import Settings

if TYPE_CHECKING:
    from connectors.lead_source import LeadRecords, LeadSource

app = typer.Typer(no_args_is_help=True, help="Read leads from MongoDB or a folder.")

EXIT_FENCED = 3


@app.command()
def mongodb() -> None:
    """Send each document that is inserted into the collection as a lead, once.

    `up` runs this where SIGNALBOX_MONGODB__URI is set. Exit code 3: another process reads this collection;
    4: a person must decide, the last line says what.
    """
    settings = session.load_settings()
    address = settings.mongodb.address()
    if not address:
        msg = "SIGNALBOX_MONGODB__URI is not set; like mongodb://host:27017/?replicaSet=rs0"
        raise ConfigurationError(msg)
    try:
        from connectors.mongodb import MongodbSource  # noqa: PLC0415 (an extra, and slow to import)
        from connectors.mongodb_feed import MongoFeed  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = f"{error}; install the extra: pip install 'signalbox[mongodb]'"
        raise ConfigurationError(msg) from None
    where = settings.mongodb
    records = _records(settings)
    source = MongodbSource(
        MongoFeed(address, where.database, where.collection),
        where.collection,
        records,
        on_history_lost=where.on_history_lost,
    )
    run(settings, source, f"mongodb/{where.database}.{where.collection}")


@app.command()
def folder() -> None:
    """Send each line of the files that are dropped into the folder as a lead, once; then move the file away.

    `up` runs this where SIGNALBOX_FOLDER__PATH is set. Exit code 3: another process reads for this folder's name.
    """
    settings = session.load_settings()
    path = settings.folder.path
    if path is None:
        msg = "SIGNALBOX_FOLDER__PATH is not set; name a folder, like ./leads"
        raise ConfigurationError(msg)
    from connectors.folder import FolderSource  # noqa: PLC0415 (slow to import)

    records = _records(settings)
    source = FolderSource(path, records, settle_seconds=settings.folder.settle_seconds)
    run(settings, source, f"folder/{settings.folder.name}")


def run(settings: Settings, source: LeadSource, name: str) -> None:
    """Run `source` until SIGTERM or SIGINT; `name` is what its progress is kept under."""
    import structlog  # noqa: PLC0415 (with the rest, for the long run)

    from connectors.broker import FencedError  # noqa: PLC0415
    from connectors.lead_source import SourceStoppedError, run_source  # noqa: PLC0415
    from connectors.source_ledger import SourceLedger  # noqa: PLC0415
    from signalbox.local_stack.sources import EXIT_STOPPED  # noqa: PLC0415

    events = structlog.get_logger().bind(source=name)
    stopped = stopped_by_signals()
    kafka = settings.kafka
    ledger = SourceLedger(
        session.open_broker(settings),
        name,
        topic_prefix=kafka.topic_prefix,
        group_prefix=kafka.group_prefix,
    )
    events.info("source.started")
    try:
        run_source(source, ledger, stopped)
    except FencedError as error:
        events.error("source.fenced", detail=str(error))
        raise typer.Exit(EXIT_FENCED) from None
    except SourceStoppedError as error:
        events.error("source.stopped", detail=str(error))
        raise typer.Exit(EXIT_STOPPED) from None
    events.info("source.ended")


def stopped_by_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopped


def _records(settings: Settings) -> LeadRecords:
    from agents.log_lines import configure_logging  # noqa: PLC0415 (slow to import)
    from connectors.lead_source import LeadRecords  # noqa: PLC0415 (slow to import)

    # Before a source is made: a logger keeps the shape it was made in.
    configure_logging()
    return LeadRecords(session.now, settings.kafka.topic_prefix, settings.leads.rename)
