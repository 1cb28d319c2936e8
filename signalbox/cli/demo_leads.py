"""The demo's leads: from a fleet's `demo/` folder to records, each conversation with a fresh id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from signalbox.contracts.envelope import Envelope
from signalbox.errors import UsageError
from signalbox.json_lines import object_of
from signalbox.topics import AGENT_MESSAGES, INCOMING_LEADS

LEADS_FILE: Final = "leads.jsonl"
"""One raw lead a line; it goes to `incoming_leads`, where SQL wraps it."""
MESSAGES_FILE: Final = "messages.jsonl"
"""One `{"type": …, "data": {…}}` a line; it goes to `agent_messages` as an envelope.

`name` is what a table shows of it; `expect` is the status its outcome must have, `says` are texts that its outcome's result must
have in it, whichever model wrote it; `{conversation}` in a field of the data becomes the
conversation's id, for what must be new in every run.
"""

DEFAULT_LEADS: Final = 12
_CONVERSATION: Final = "{conversation}"
_NOT_A_SLUG: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Seed:
    """One conversation to start: the record, who wrote it, and what a table shows of it."""

    topic: str
    conversation: str
    name: str
    label: str
    value: bytes
    headers: dict[str, bytes]
    expect: str | None = None
    says: tuple[str, ...] = ()


def load_seeds(folder: Path, count: int, *, run: str, at: datetime) -> tuple[Seed, ...]:
    """Return `count` seeds, raw leads and messages in proportion; beyond what the files hold they come round again.

    Args:
        folder: the fleet's `demo/` folder.
        count: how many conversations.
        run: what makes this run's ids its own; letters and digits.
        at: the envelopes' time.

    Raises:
        UsageError: there is no demo for this fleet, or a line of it is wrong.
    """
    leads = [(INCOMING_LEADS, line) for line in _lines(folder / LEADS_FILE)]
    messages = [(AGENT_MESSAGES, line) for line in _lines(folder / MESSAGES_FILE)]
    ordered = in_proportion(leads, messages)
    if not ordered:
        msg = (
            f"{folder} has neither {LEADS_FILE} nor {MESSAGES_FILE}; write one, or use --fleet sdr"
        )
        raise UsageError(msg)
    chosen = (ordered[number % len(ordered)] for number in range(count))
    return tuple(
        _seed(topic, line, f"{run}-{number:02d}", at)
        for number, (topic, line) in enumerate(chosen, start=1)
    )


def in_proportion(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """Merge two sequences so that every beginning of the result has them in about the same proportion."""
    places = [((number + 0.5) / len(first), 0, item) for number, item in enumerate(first)]
    places += [((number + 0.5) / len(second), 1, item) for number, item in enumerate(second)]
    return [item for _, _, item in sorted(places, key=lambda place: place[:2])]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    for number, raw in enumerate(path.read_bytes().splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            found.append(object_of(raw, lambda value: type(value).__name__))
        except ValueError as error:
            msg = f"{path}:{number}: {error}"
            raise UsageError(msg) from None
    return found


def _seed(topic: str, line: dict[str, Any], suffix: str, at: datetime) -> Seed:
    if topic == INCOMING_LEADS:
        name = _name(line)
        label = f"{name}, {line.get('company_name', '')} ({line.get('lead_source', 'no source')})"
        conversation = f"{_slug(name)}-{suffix}"
        return Seed(topic, conversation, name, label, orjson.dumps(line), {})
    data = line.get("data", {})
    name = line.get("name") or _name(data.get("lead", {}))
    words = data.get("reply", {}).get("text")
    conversation = f"{_slug(name)}-{suffix}"
    data = {key: conversation if one == _CONVERSATION else one for key, one in data.items()}
    envelope = Envelope(
        id=f"msg-{conversation}",
        source="connector/demo",
        type=line.get("type", "lead.replied"),
        time=at,
        subject=conversation,
        priority=line.get("priority", 5),
        data=data,
    )
    label = f"{name}: “{words}”" if words else f"{name}: {envelope.type}"
    return Seed(
        topic,
        conversation,
        name,
        label,
        envelope.to_json(),
        envelope.headers(),
        expect=line.get("expect"),
        says=tuple(line.get("says", ())),
    )


def _name(lead: dict[str, Any]) -> str:
    return str(lead.get("name") or "somebody")


def _slug(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _NOT_A_SLUG.sub("-", ascii_name).strip("-")[:40] or "lead"
