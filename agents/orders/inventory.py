"""Inventory: sets units of a product aside for an order, and gives them back.

Delivery: one booking per order and action, however often the task is handled.
"""

from __future__ import annotations

from agents.orders.books import RefusedError
from agents.orders.trouble import books_of, trouble
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Task


def keep_stock(task: Task, context: Context) -> HandlerResult:
    """Answer `{order_id, action, available, reserved_quantity}`; a function that waits for a disk, so it runs in a thread."""
    data, books, at = task.data, books_of(context), context.now().isoformat()
    order, action = data["order_id"], data["action"]
    failure = trouble(task, books, action)
    if failure is not None:
        return failure
    if action == "release":
        books.take_back(order, "reserve", at)
        reserved = 0
    else:
        try:
            booked = books.book(order, "reserve", data["product_id"], data["quantity"], at)
        except RefusedError as error:
            return Terminal("handler_failed", str(error))
        reserved = booked.amount
    return Reply(
        {
            "order_id": order,
            "action": action,
            "available": True,
            "reserved_quantity": reserved,
        }
    )
