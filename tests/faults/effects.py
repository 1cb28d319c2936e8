"""The effects of the fault runs' own agents, found on disk: how often each task had one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path


def effects_in(outbox: Path) -> dict[str, int]:
    """Count by task: files of the outbox, or the witness's lines beside it, whichever is more."""
    files = Counter(json.loads(path.read_bytes())["task"] for path in outbox.glob("*/*.json"))
    log = outbox.parent / "effects.log"
    lines = Counter(log.read_text().split() if log.exists() else ())
    return dict(files | lines)
