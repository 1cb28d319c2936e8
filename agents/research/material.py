"""What earlier tasks answered, as text: the specialists and the synthesizer arrange it where no model writes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agents.research.chart_spec import SCHEMA, ChartSpec
from signalbox.definitions.contract import Contract

NO_MODEL: Final = "No model was asked."
"""How everything begins that code wrote in a model's place."""

# About the answer, not of it.
_NOT_MATERIAL: Final = frozenset({"written_by", "sha256"})
_CHART: Final = Contract(dict(SCHEMA))
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_MAX_DEPTH: Final = 6


def sentences(text: str, *, limit: int, chars: int) -> list[str]:
    """Return the first `limit` sentences or lines of `text`, each cut to `chars`."""
    parts = (" ".join(part.split()) for part in _SENTENCE.split(text))
    return [clip(part, chars) for part in parts if part][:limit]


def clip(text: str, chars: int) -> str:
    """Return `text` on one line, with an ellipsis where it was longer than `chars`."""
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1].rstrip()}…"


def texts_of(answer: Any) -> Iterator[str]:
    """Yield every text in an agent's answer, in its order; not who wrote it, and no digests."""
    return (one for one in _leaves(answer) if isinstance(one, str) and one.strip())


def numbers_of(answer: Any) -> Iterator[float]:
    """Yield every number in an agent's answer that stands there as a number."""
    return (
        float(one)
        for one in _leaves(answer)
        if isinstance(one, int | float) and not isinstance(one, bool)
    )


def _leaves(value: Any, depth: int = 0) -> Iterator[Any]:
    if not isinstance(value, Mapping | list):
        yield value
        return
    if depth == _MAX_DEPTH:
        return
    fields = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, one in fields:
        if name not in _NOT_MATERIAL:
            yield from _leaves(one, depth + 1)


def bullets(answer: Any, *, limit: int = 12, chars: int = 400) -> list[str]:
    """Return the texts of an answer as lines of a list; how many more there are, where there are."""
    found = list(texts_of(answer))
    lines = [f"- {clip(one, chars)}" for one in found[:limit]]
    return [*lines, f"- and {len(found) - limit} more"] if len(found) > limit else lines


def told(answer: Mapping[str, Any]) -> str:
    """Return an answer as it reads best.

    A text or code whole, a chart by its numbers and its file, a picture by its description, anything else as a list.
    """
    if isinstance(answer.get("text"), str):
        return str(answer["text"])
    if isinstance(answer.get("code"), str):
        return f"{answer.get('explanation') or ''}\n\n{answer['code']}".strip()
    chart = answer.get("chart")
    if isinstance(chart, Mapping) and _CHART.accepts(chart):
        return _chart_told(ChartSpec.of(chart), answer.get("file"), str(answer.get("note") or ""))
    if isinstance(answer.get("description"), str):
        return f"{answer['description']} {answer.get('note') or ''}".strip()
    return "\n".join(bullets(answer))


def _chart_told(chart: ChartSpec, file: Any, note: str) -> str:
    path = file.get("path") if isinstance(file, Mapping) else None
    lines = [f"A {chart.kind} chart, {path or 'without a file'}. {note}".strip()]
    for series in chart.series:
        points = ", ".join(f"{point.label} {point.value:.15g}" for point in series.points)
        lines.append(f"- {series.name}: {points}" if series.name else f"- {points}")
    return "\n".join(lines)
