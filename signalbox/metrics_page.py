"""docs/metrics.md, written from the list of metrics: `python -m signalbox.metrics_page` (part of `make docs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

from signalbox.metric_names import METRICS, MetricName, Owner, exposed

PAGE: Final = Path(__file__).parents[1] / "docs" / "metrics.md"

MARK: Final = "<!-- From here on written by `make docs` from signalbox/metric_names.py. -->"
"""What stands above it in the page is written by hand."""

_SECTIONS: Final[dict[Owner, tuple[str, str]]] = {
    "job": (
        "The job `orchestrate`",
        "Of each subtask of the operator `route`; in Flink's own page and REST API as `signalbox.…`.",
    ),
    "gateway": ("The gateway", "Of one process."),
    "agent": (
        "Agents",
        "Of each process: `agent` is its name, `process` its instance, which it keeps over restarts.",
    ),
    "read model": (
        "The read model",
        "Of its consumer. What is open is asked of its tables, at most every 5 s. With several replicas of the gateway each tells "
        "the same: take one (`max`).",
    ),
    "process": ("Processes", "Of every Python process above."),
    "flink": (
        "Flink's own",
        "Those that dashboards and alerts use, of some hundred that Flink's documentation lists.",
    ),
}


def page(text: str) -> str:
    """Return the page's text with the list as it is now; `text` is the page as it was.

    Raises:
        ValueError: the mark is missing.
    """
    head, mark, _ = text.partition(MARK)
    if not mark:
        msg = f"{PAGE} has no line {MARK!r}; put it where the list is to be"
        raise ValueError(msg)
    return "\n".join((f"{head}{MARK}\n", *(_section(owner) for owner in get_args(Owner))))


def _section(owner: Owner) -> str:
    title, introduction = _SECTIONS[owner]
    rows = "\n".join(_row(name) for name in METRICS if METRICS[name].owner == owner)
    return (
        f"## {title}\n\n{introduction}\n\n| metric | kind | moves when |\n|---|---|---|\n{rows}\n"
    )


def _row(name: MetricName) -> str:
    metric = METRICS[name]
    own = [f"`{label}`" for label in metric.labels if label not in {"process"}]
    labels = f" by {', '.join(own)}" if own else ""
    return f"| `{exposed(name)}` | {metric.kind}{labels} | {metric.cause} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
