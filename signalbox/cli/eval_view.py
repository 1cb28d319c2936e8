"""An evaluation's report on the screen: the figures first, then what to mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from signalbox.cli.screen import Line

_SHOWN_PAIRS: Final = 10
_SHOWN_AGENTS: Final = 30
_EXAMPLE_CHARS: Final = 100


def lines_of(report: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the report of `signalbox.evaluation.report`, line by line."""
    yield Line(
        f"{report['messages']} against {report['definitions']}: {report['rows']} rows, "
        f"{report['in_scope']} in scope, {report['out_of_scope']} for nobody",
        "bold",
    )
    yield from _figures(report)
    yield from _kinds(report["kinds"])
    yield from _agents(report["agents"])
    yield from _confused(report["confused"])
    yield from _problems(report)


def percent(value: float | None) -> str:
    """Write a share in [0, 1] for a person; a dash where there is none."""
    return "–" if value is None else f"{value * 100:.1f} %"


def figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures with their names, in the order of reading."""
    found = report["shortlist_recall"]
    model, calibration = report["model"], report["calibration"]
    ece = "–" if calibration["ece"] is None else f"{calibration['ece']:.3f}"
    times = report["decision_ms"]
    return [
        ("accuracy", f"{percent(report['accuracy'])}  ({report['right']} of {report['rows']})"),
        ("accuracy in scope", percent(report["in_scope_accuracy"])),
        ("macro-F1, NONE included", percent(report["macro_f1"])),
        ("NONE precision", percent(report["none_precision"])),
        ("NONE recall", percent(report["none_recall"])),
        ("in scope answered NONE", percent(report["in_scope_answered_none"])),
        ("wrong among answered", percent(report["wrong_among_answered"])),
        ("NONE recall, 5 % in scope refused", percent(report["none_recall_at_5_percent_refused"])),
        *((f"right agent in the first {size}", percent(found[size])) for size in found),
        ("calibration error (ECE)", f"{ece}  over {calibration['rows']} rows"),
        ("decided by", ", ".join(f"{path} {n}" for path, n in report["paths"].items())),
        (
            "model",
            f"{model['name']}: {model['calls']} calls, {model['cached']} from the cache, "
            f"{model['tokens_in']} tokens in, {model['tokens_out']} out",
        ),
        ("a decision", f"p50 {times['p50']} ms, p99 {times['p99']} ms"),
    ]


def _figures(report: Mapping[str, Any]) -> Iterator[Line]:
    for name, value in figures(report):
        yield Line(f"  {name:<36}{value}")


def _kinds(kinds: Mapping[str, Any]) -> Iterator[Line]:
    for kind, one in kinds.items():
        right = f"{percent(one['accuracy'])}  ({one['right']} of {one['rows']})"
        yield Line(f"  {'kind ' + kind:<36}{right}")


def _agents(agents: Mapping[str, Any]) -> Iterator[Line]:
    width = max((len(name) for name in agents), default=0)
    worst = sorted(agents.items(), key=lambda item: item[1]["f1"])
    cut = f", the {_SHOWN_AGENTS} worst" if len(worst) > _SHOWN_AGENTS else ""
    yield Line("")
    yield Line(f"by agent{cut}", "bold")
    for name, one in worst[:_SHOWN_AGENTS]:
        yield Line(
            f"  {name:<{width}}  precision {percent(one['precision']):>7}  "
            f"recall {percent(one['recall']):>7}  expected {one['expected']:>5}  answered {one['answered']:>5}"
        )


def _confused(pairs: list[Mapping[str, Any]]) -> Iterator[Line]:
    if not pairs:
        return
    yield Line("")
    yield Line("most confused", "bold")
    for pair in pairs[:_SHOWN_PAIRS]:
        yield Line(f"  {pair['count']:>4} × {pair['expected']} answered as {pair['answered']}")
        for example in pair["examples"]:
            text = " ".join(str(example["text"]).split())
            shown = text if len(text) <= _EXAMPLE_CHARS else text[: _EXAMPLE_CHARS - 1] + "…"
            yield Line(f"         {example['id']}: {shown}", "dim")
    if len(pairs) > _SHOWN_PAIRS:
        yield Line(f"  … and {len(pairs) - _SHOWN_PAIRS} more pairs; --json and --html have all")


def _problems(report: Mapping[str, Any]) -> Iterator[Line]:
    for one in report["forbidden_edges"]:
        yield Line(f"forbidden edge: {one['id']} went to {one['agent']}: {one['why']}", "red")
    unanswered = report["unanswered"]
    if unanswered:
        first = unanswered[0]
        yield Line(
            f"{len(unanswered)} rows got no answer and count as wrong; {first['id']}: {first['error']}",
            "red",
        )
