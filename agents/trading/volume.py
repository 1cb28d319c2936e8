"""Volume spikes: noticing one on a tick (`market.data` → `volume.spiked`) and evaluating it (→ `evaluation.done`)."""

from __future__ import annotations

from typing import Final

from agents.result import Reply, Terminal
from agents.task import Context, Task

SPIKE_RATIO: Final = 1.5
CONFIRMING_PERCENT: Final = 1.0


def notice(task: Task, context: Context) -> Reply | Terminal:
    """Answer how many times the average the volume is."""
    data = task.data
    ratio = round(data["volume"] / data["avg_volume"], 4)
    if ratio <= SPIKE_RATIO:
        # The subscription lets nothing else through; who names this agent as target may.
        detail = f"volume is {ratio} times the average, a spike is more than {SPIKE_RATIO}"
        return Terminal("handler_failed", detail)
    change = data.get("change_percent", 0.0)
    return Reply({"spike": {"symbol": data["symbol"], "ratio": ratio, "change_percent": change}})


def evaluate(task: Task, context: Context) -> Reply:
    """Answer whether the price moved with the volume."""
    spike = task.data["spike"]
    is_confirmed = abs(spike["change_percent"]) >= CONFIRMING_PERCENT
    moved = f"{spike['ratio']:.2f} times the usual volume, price {spike['change_percent']:+.2f} %"
    verdict = "confirmed" if is_confirmed else "unconfirmed"
    return Reply({"symbol": spike["symbol"], "verdict": verdict, "why": moved})
