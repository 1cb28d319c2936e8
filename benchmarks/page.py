"""Writes docs/benchmarks.md and its plots from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.lab import ROOT

PAGE: Final = ROOT / "docs" / "benchmarks.md"
PLOTS: Final = ROOT / "docs" / "benchmarks"
_HEAD: Final = """# Benchmarks

`make bench` writes this page. Every figure was measured on one machine that also ran the broker, the feeder and the model,
and each comparison within one run. Ratios travel to other machines, figures do not. A ratio of at most 1 meets the aim.
"""


def write(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the page and one plot a benchmark that has series."""
    parts = [_HEAD]
    for name, result in results.items():
        parts.append("\n".join(_section(name, result)))
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _section(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {result['title']}\n"
    if result["notes"]:
        yield f"{result['notes']}\n"
    yield "| figure | value | aim | ratio |"
    yield "|---|---:|---:|---:|"
    for figure in result["figures"]:
        sign = "≥" if figure["at_least"] else "≤"
        aim = f"{sign} {figure['aim']:g}" if figure["aim"] is not None else ""
        ratio = f"{figure['ratio']:.2f}" if figure["ratio"] is not None else ""
        yield f"| {figure['name']} | {figure['value']:g} {figure['unit']} | {aim} | {ratio} |"
    if result["series"]:
        _plot(name, result["series"])
        yield f"\n![{result['title']}](benchmarks/{name}.svg)"
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    yield f"\n{result['measured_at']}; {result['machine']}; {versions}.\n"


def _plot(name: str, series: Mapping[str, Sequence[float]]) -> None:
    """Draw each series by its quantiles: which share of the values lies below."""
    import matplotlib as mpl  # noqa: PLC0415 - only who writes the page needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "signalbox"
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
    for label, values in series.items():
        ordered = sorted(values)
        shares = [(number + 1) / len(ordered) for number in range(len(ordered))]
        axes.plot(ordered, shares, label=label, linewidth=1.4)
    if all(value > 0 for values in series.values() for value in values):
        axes.set_xscale("log")
    axes.set_ylabel("share of the values below")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)
