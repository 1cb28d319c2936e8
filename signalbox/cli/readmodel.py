"""`signalbox readmodel`: what the gateway shows, as tables made of the topics."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.contracts.record import to_epoch_ms
from signalbox.gateway.readmodel.follower import rebuild
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.schema import open_to_read

app = typer.Typer(no_args_is_help=True, help="The gateway's read model: look at it, build it anew.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


@app.command("rebuild")
def rebuild_it(as_json: AsJson = False) -> None:
    """Read every topic from its oldest record into new tables, and let them count; whoever asks meanwhile sees the old ones."""
    settings = session.load_settings()
    broker = session.reach_broker(settings)
    began = to_epoch_ms(session.now())
    place = ReadModelPlace.of(settings)
    count = rebuild(broker, settings.kafka.topic_prefix, place)
    seconds = (to_epoch_ms(session.now()) - began) / 1000
    if as_json:
        told = {"records": count, "seconds": round(seconds, 3), "file": str(place.current())}
        session.print_json(told)
        return
    typer.echo(f"{count} records in {seconds:.1f} s; {place.current()} counts now")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say how far the topics were read, and what is there. Exit code 1 where there is no read model."""
    place = ReadModelPlace.of(session.load_settings())
    try:
        with closing(open_to_read(place.current())) as connection:
            offsets = {
                f"{row['topic']}-{row['partition']}": row["next_offset"]
                for row in connection.execute("SELECT * FROM source ORDER BY topic, partition")
            }
            counts = {
                table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("record", "conversation", "review", "dead_letter")
            }
    except sqlite3.OperationalError:
        session.note(f"no read model in {place.folder}; `signalbox up` starts its consumer")
        raise typer.Exit(1) from None
    if as_json:
        session.print_json({"file": str(place.current()), "rows": counts, "offsets": offsets})
        return
    typer.echo(str(place.current()))
    for name, number in counts.items():
        typer.echo(f"{number:>10}  {name}")
    for name, number in offsets.items():
        typer.echo(f"{number:>10}  read of {name}")
