"""Payment: charges an order, and refunds what was charged. Amounts are cents.

Delivery: one booking per order and action, however often the task is handled.
"""

from __future__ import annotations

from typing import Final

from agents.orders.books import RefusedError
from agents.orders.trouble import books_of, trouble
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Task

_DECLINED: Final = "declined_card"


def take_money(task: Task, context: Context) -> HandlerResult:
    """Answer `{order_id, transaction_id, status}`; the transaction's id is the order's, whichever attempt it was."""
    data, books, at = task.data, books_of(context), context.now().isoformat()
    order, action = data["order_id"], data["action"]
    failure = trouble(task, books, action)
    if failure is not None:
        return failure
    if action == "refund":
        done = books.take_back(order, "charge", at)
        status = "refunded" if done.amount else "nothing_to_refund"
    elif data["payment_method"] == _DECLINED:
        return Terminal("handler_failed", f"the card of order {order} was declined")
    else:
        try:
            books.book(order, "charge", data["payment_method"], data["amount"], at)
        except RefusedError as error:
            return Terminal("handler_failed", str(error))
        status = "charged"
    return Reply({"order_id": order, "transaction_id": f"pay-{order}", "status": status})
