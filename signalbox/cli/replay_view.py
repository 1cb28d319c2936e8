"""A what-if replay as lines for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from signalbox.cli.screen import Line, counted

SHOWN: Final = 20
_STYLES: Final = {"changed": "red", "unknown": "yellow"}


def lines_of(report: Mapping[str, Any]) -> Iterator[Line]:
    """Write the JSON form of a report: the numbers, then the first conversations that differ."""
    yield Line(
        f"{counted(report['total'], 'decision')}: {report['same']} same, {report['changed']} changed, {report['unknown']} unknown",
        "bold",
    )
    yield Line(f"  NONE → agent {report['none_to_agent']}, agent → NONE {report['agent_to_none']}")
    if report["path_changed"]:
        yield Line(f"  to the same agent by another path {report['path_changed']}")
    yield Line(
        f"  model calls {report['calls_before']} → {report['calls_after']}, "
        f"tokens {report['tokens_before']} → {report['tokens_after']}{_without_unknown(report)}"
    )
    if report["skipped"]:
        counts = ", ".join(f"{count} {name}" for name, count in report["skipped"].items())
        yield Line(f"  not compared: {counts}", "dim")
    for conversation in report["conversations"][:SHOWN]:
        yield Line("")
        yield Line(conversation["conversation"], "cyan")
        for message in conversation["messages"]:
            yield from _message_lines(message)
    more = report["conversations_affected"] - min(len(report["conversations"]), SHOWN)
    if more > 0:
        yield Line("")
        yield Line(f"{more} more conversations differ; --html or --json has them")


def _without_unknown(report: Mapping[str, Any]) -> str:
    if not report["unknown"]:
        return ""
    return f" (without the unknown ones, {report['tokens_before_unknown']} before)"


def _message_lines(message: Mapping[str, Any]) -> Iterator[Line]:
    after = message["after"]
    now = "unknown" if after is None else _told(after)
    style = _STYLES[message["status"]]
    yield Line(f"  {message['type']}  {message['id']}")
    yield Line(f"    {_told(message['before'])} → {now}", style)
    yield Line(f"    {message['why']}", "dim")


def _told(fate: Mapping[str, Any]) -> str:
    code = f", {fate['code']}" if "code" in fate else ""
    if fate["agent"] is None:
        return f"{fate['ending']}{code}"
    return f"{fate['agent']} by {fate['path']}{code}"
