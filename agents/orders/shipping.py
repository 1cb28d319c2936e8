"""Shipping: hands a parcel over, and calls it back.

Delivery: one booking per order and action, however often the task is handled.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agents.orders.books import RefusedError
from agents.orders.trouble import books_of, trouble
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Task

_DAYS: Final = 3
_MAX_ADDRESS_CHARS: Final = 100


def ship(task: Task, context: Context) -> HandlerResult:
    """Answer `{order_id, tracking_number, estimated_delivery}`; of a parcel that was called back the day is empty."""
    data, books, now = task.data, books_of(context), context.now()
    order, action = data["order_id"], data["action"]
    failure = trouble(task, books, action)
    if failure is not None:
        return failure
    day = ""
    if action == "cancel":
        books.take_back(order, "ship", now.isoformat())
    else:
        try:
            where = data["shipping_address"][:_MAX_ADDRESS_CHARS]
            books.book(order, "ship", where, 1, now.isoformat())
        except RefusedError as error:
            return Terminal("handler_failed", str(error))
        day = (now + timedelta(days=_DAYS)).date().isoformat()
    return Reply(
        {"order_id": order, "tracking_number": f"parcel-{order}", "estimated_delivery": day}
    )
