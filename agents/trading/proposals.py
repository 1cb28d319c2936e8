"""Proposes a trade on volatility: less of what falls, more of what rises, nothing in between. Takes `market.data`."""

from __future__ import annotations

from typing import Final

from agents.result import Reply
from agents.task import Context, Task

MOVE_PERCENT: Final = 2.0
"""A smaller change is noise."""
MAX_SHARE_PERCENT: Final = 50


def propose(task: Task, context: Context) -> Reply:
    """Answer `{symbol, action, share_percent, why}`; the same tick always gives the same proposal."""
    symbol, change = task.data["symbol"], float(task.data["change_percent"])
    action = "hold" if abs(change) < MOVE_PERCENT else "reduce" if change < 0 else "add"
    # Ten per cent of the position for every per cent the price moved.
    share = 0 if action == "hold" else min(MAX_SHARE_PERCENT, round(abs(change) * 10))
    why = f"{symbol} moved {change:+.2f} % in a volatile market"
    return Reply({"symbol": symbol, "action": action, "share_percent": share, "why": why})
