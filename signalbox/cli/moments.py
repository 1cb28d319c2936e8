"""Times as a person says them: how long something took, and when something is due. Pure."""

from __future__ import annotations


def duration(milliseconds: int, *, sign: bool = False) -> str:
    """Write a duration for a person: `35 ms`, `1.24 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`."""
    plus = "+" if sign else ""
    if milliseconds < 1000:
        return f"{plus}{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{plus}{milliseconds / 1000:.2f} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    if minutes < 60:
        return f"{plus}{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{plus}{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{plus}{days} d {hours} h"


def until(due_ms: int, now_ms: int) -> str:
    """Say how far a moment is away: `in 40 s`, `in 2 h 5 min`, `3 s ago`."""
    apart = _rounded(abs(due_ms - now_ms))
    return f"in {apart}" if due_ms >= now_ms else f"{apart} ago"


def _rounded(milliseconds: int) -> str:
    """Nobody needs a deadline to the hundredth."""
    seconds = milliseconds // 1000
    return f"{seconds} s" if seconds < 60 else duration(milliseconds)
