"""Closes an account: for every position the order that brings it to zero. Takes `alert.risk_limit_exceeded`."""

from __future__ import annotations

from collections import Counter

from agents.result import Reply
from agents.task import Context, Task


def close_all(task: Task, context: Context) -> Reply:
    """Answer `{account, orders}`; positions of one symbol are closed together, and one that is flat needs no order."""
    held: Counter[str] = Counter()
    for position in task.data["positions"]:
        held[position["symbol"]] += position["quantity"]
    orders = [
        {
            "symbol": symbol,
            "side": "sell" if quantity > 0 else "buy",
            "quantity": abs(quantity),
        }
        for symbol, quantity in sorted(held.items())
        if quantity
    ]
    return Reply({"account": task.data["account"], "orders": orders})
