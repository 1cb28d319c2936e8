"""An SQL answer on the screen: a table with a row count, or JSON a row a line. At most so many rows; what is cut is said."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from signalbox.cli.screen import printable
from signalbox.cli.session import note, print_json
from signalbox.local_stack.sql_session import Answer

_MAX_CELL_CHARS: Final = 120
_WIDE: Final = 10_000
"""A table is never folded: a terminal wraps it, a file keeps its lines whole."""


def print_table(answer: Answer, limit: int) -> None:
    """Print the first `limit` rows as a table, and how many there are."""
    rows = list(islice(answer.rows, limit + 1))
    if len(answer.columns) == len(rows) == 1 and "\n" in str(rows[0][0]):
        # EXPLAIN, SHOW CREATE: a text, no table.
        typer.echo(printable(str(rows[0][0])))
        return
    table = Table(box=box.ASCII, show_edge=True)
    for name in answer.columns:
        table.add_column(Text(printable(name)), no_wrap=True)
    for row in rows[:limit]:
        table.add_row(*(Text(_cell(value)) for value in row))
    if rows:
        Console(width=_WIDE, highlight=False, emoji=False).print(table)
    if len(rows) > limit:
        typer.echo(f"the first {limit} rows; --limit says how many")
    else:
        typer.echo(
            f"{len(rows)} row{'' if len(rows) == 1 else 's'} in set" if rows else "Empty set"
        )


def print_rows(answer: Answer, limit: int) -> None:
    """Print the first `limit` rows as JSON objects, each as soon as it is there."""
    for number, row in enumerate(answer.rows):
        if number == limit:
            note(f"the first {limit} rows; --limit says how many")
            return
        print_json(dict(zip(answer.columns, row, strict=True)))


def _cell(value: Any) -> str:
    # Records come from outside: one row stays one line, and none of them drives the terminal.
    text = "NULL" if value is None else printable(str(value)).replace("\n", " ")
    return text if len(text) <= _MAX_CELL_CHARS else text[: _MAX_CELL_CHARS - 1] + "…"
