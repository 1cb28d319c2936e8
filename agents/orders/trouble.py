"""Failures on purpose, asked for in an order's data, so that a demo and the tests show what becomes of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from agents.orders.books import Action, Books
from agents.result import Terminal
from agents.task import Context, Task

BOOKS_FILE: Final = "orders.sqlite"


def books_of(context: Context) -> Books:
    """Return the books that all agents of the fleet share."""
    return _opened(context.outbox_dir / BOOKS_FILE)


@lru_cache(maxsize=1)
def _opened(path: Path) -> Books:
    return Books(path)


def trouble(task: Task, books: Books, action: Action) -> Terminal | None:
    """Return the failure that the order asks for at `action`, or None.

    `data.trouble` is `{at, kind}`: `refuse` fails for good, `fail` every time it is tried, `once` the first time only.
    """
    wanted = task.data.get("trouble")
    if not wanted or wanted["at"] != action:
        return None
    if wanted["kind"] == "once" and not books.stumbles_first(task.data["order_id"], action):
        return None
    return Terminal(
        "handler_failed",
        f"{action} fails because the order asks for it",
        is_permanent=wanted["kind"] == "refuse",
    )
