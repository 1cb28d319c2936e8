"""The details of a decision as lines for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from signalbox.cli.explain_details import Details, Prompt
from signalbox.cli.moments import duration
from signalbox.cli.screen import Line, counted
from signalbox.cli.track_record import TrackRecord
from signalbox.routing.counterfactual import Alternative


def detail_lines(details: Details) -> Iterator[Line]:
    """Write versions, budget, counterfactual and prompt, in the columns of `explain_view`."""
    yield Line(f"  {'version':<12} {_version(details)}")
    if details.budget is not None:
        left = details.budget
        seconds = f"{duration(round(max(0.0, left.seconds) * 1000))}"
        yield Line(f"  {'left':<12} {left.hops} hops, {left.tokens} tokens, {seconds}")
    if details.track_record is not None:
        yield Line(f"  {'usually':<12} {_usually(details.track_record)}")
    found = details.counterfactual
    yield Line(f"  {'otherwise':<12} {found.summary}", "cyan")
    for one in found.alternatives:
        yield Line(f"    {one.agent}: {_lacking(one)}", "dim")
    if details.prompt is not None:
        yield from _prompt_lines(details.prompt)


def _version(details: Details) -> str:
    if details.is_active:
        return "these definitions are active now"
    if details.is_known:
        return "other definitions are active now; the registry still has these"
    return (
        "these definitions are gone from the registry: prompt and budgets cannot be told for sure"
    )


def _usually(record: TrackRecord) -> str:
    times = f"half within {duration(record.p50_ms)}, 99 % within {duration(record.p99_ms)}"
    failed = f"{record.failed} failed" if record.failed else "none failed"
    return f"{record.agent} answered {counted(record.answers, 'task')}: {times}, {failed}"


def _lacking(one: Alternative) -> str:
    fields = "; ".join(one.fields)
    match one.lacks:
        case "contract":
            return fields or "its contract refuses the data"
        case "handoffs":
            return "the sender's handoffs do not name it" + (f"; {fields}" if fields else "")
        case "score":
            return (
                "not scored high enough" if one.score_gap is None else f"{one.score_gap:.2f} short"
            )
        case "choice":
            return "accepts the data, was not chosen"


def _prompt_lines(prompt: Prompt) -> Iterator[Line]:
    proof = (
        "rendered again, its digest is the recorded one"
        if prompt.verified
        else "rendered again, but its digest is NOT the recorded one"
    )
    yield Line(f"  {'asked':<12} {proof}", "" if prompt.verified else "yellow")
    for text in (prompt.system, prompt.user):
        for line in text.rstrip().splitlines():
            yield Line(f"    │ {line}", "dim")
