"""Labelled messages: JSON lines of what arrives and who should act on it. A file is taken whole or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from signalbox.contracts.decision import NONE
from signalbox.errors import UsageError
from signalbox.json_lines import object_of, problems_told

_TEXT_FIELDS: Final = ("type", "from", "sender", "source", "target", "kind")
_SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One message and its right answers. `expected` has the allowed ones, the first being the best.

    `data` is what agents are given; of a row with `text` it is `{"text": …}`. `sender` is an agent that truly had the
    task this answers; `source` is only what the message claims.
    """

    line: int
    id: str | int
    expected: tuple[str, ...]
    data: dict[str, Any]
    is_text: bool
    type: str | None = None
    sender: str | None = None
    source: str | None = None
    target: str | None = None
    kind: str | None = None

    @property
    def is_ambiguous(self) -> bool:
        """Whether several answers are right."""
        return len(self.expected) > 1


def read_rows(
    lines: Iterable[bytes], agents: Collection[str], *, name: str
) -> tuple[LabelledRow, ...]:
    """Read labelled rows; blank lines are skipped, fields that evaluation does not know are ignored.

    Args:
        lines: one JSON object each.
        agents: the names that `expected` and `from` may use.
        name: what the file is called in errors.

    Raises:
        UsageError: every line that cannot be used as `file:line: what, what is right`, or the file has no rows.
    """
    rows: list[LabelledRow] = []
    problems: list[str] = []
    first_line_of: dict[str | int, int] = {}
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            row = _row(number, raw, agents)
        except ValueError as error:
            problems.append(f"{name}:{number}: {error}")
            continue
        first = first_line_of.setdefault(row.id, number)
        if first != number:
            problems.append(
                f"{name}:{number}: id {row.id!r} is also on line {first}; ids are unique"
            )
        rows.append(row)
    if problems:
        told = problems_told(problems, "used, so nothing was evaluated")
        raise UsageError("\n".join(told))
    if not rows:
        msg = f'{name}: no rows; write one JSON object a line, like {{"id": "m-1", "text": "…", "expected": "{NONE}"}}'
        raise UsageError(msg)
    return tuple(rows)


def _row(number: int, raw: bytes, agents: Collection[str]) -> LabelledRow:
    fields = object_of(raw, _shown)
    for field in _TEXT_FIELDS:
        if fields.get(field) is not None and not isinstance(fields[field], str):
            msg = f"{field} must be a string, got {_shown(fields[field])}"
            raise ValueError(msg)
    data, is_text = _content(fields)
    return LabelledRow(
        line=number,
        id=_id(fields, number),
        expected=_expected(fields, agents),
        data=data,
        is_text=is_text,
        type=fields.get("type"),
        sender=_sender(fields, agents),
        source=fields.get("source"),
        target=fields.get("target"),
        kind=fields.get("kind"),
    )


def _id(fields: dict[str, Any], number: int) -> str | int:
    found = fields.get("id", number)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        msg = f"id must be a string or a whole number, got {_shown(found)}"
        raise ValueError(msg)
    return found


def _content(fields: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    text, data = fields.get("text"), fields.get("data")
    if (text is None) == (data is None):
        given = "both" if text is not None else "neither"
        msg = f"either text (a string) or data (an object) is needed, got {given}"
        raise ValueError(msg)
    if text is not None:
        return {"text": _of_type(text, "text", str, "a string")}, True
    return _of_type(data, "data", dict, "an object"), False


def _of_type(value: Any, field: str, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        msg = f"{field} must be {name}, got {_shown(value)}"
        raise ValueError(msg)  # noqa: TRY004 (see above)
    return value


def _expected(fields: dict[str, Any], agents: Collection[str]) -> tuple[str, ...]:
    given = fields.get("expected")
    if given is None:
        msg = f"expected is missing; name the agent that should act, or {NONE}"
        raise ValueError(msg)
    allowed = given if isinstance(given, list) else [given]
    if not allowed or not all(isinstance(one, str) for one in allowed):
        msg = f"expected must be an agent, {NONE}, or a list of them, got {_shown(given)}"
        raise ValueError(msg)
    for one in allowed:
        if one != NONE:
            _check_agent("expected", one, agents, allow=(NONE,))
    return tuple(dict.fromkeys(allowed))


def _sender(fields: dict[str, Any], agents: Collection[str]) -> str | None:
    sender, other = fields.get("from"), fields.get("sender")
    if sender is not None and other is not None and sender != other:
        msg = f"from {sender!r} and sender {other!r} differ; give one of them"
        raise ValueError(msg)
    found: str | None = sender if sender is not None else other
    if found is None:
        return None
    if fields.get("source") is not None:
        msg = "from and source exclude each other: an agent's own message has its source"
        raise ValueError(msg)
    return _check_agent("from", found, agents)


def _check_agent(
    field: str, name: str, agents: Collection[str], allow: tuple[str, ...] = ()
) -> str:
    if name in agents:
        return name
    near = difflib.get_close_matches(name, [*agents, *allow], n=1, cutoff=0.6)
    known = ", ".join([*sorted(agents)[:12], *(["…"] if len(agents) > 12 else []), *allow])
    hint = f"did you mean {near[0]!r}? " if near else ""
    msg = f"{field}: no agent {name!r}; {hint}there are {known}"
    raise ValueError(msg)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
