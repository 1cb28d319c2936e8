"""Draws a chart as a PNG or SVG file: equal specs, equal bytes. matplotlib is imported when the first chart is drawn.

Figures are built without pyplot, so that threads share nothing; words are shown as they are, never read as formulas.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from agents.research.chart_spec import ChartSpec, Kind, Series, number_of
from signalbox.errors import ConfigurationError

Format = Literal["png", "svg"]

WIDTH: Final = 960
HEIGHT: Final = 540
MEDIA_TYPES: Final[dict[Format, str]] = {"png": "image/png", "svg": "image/svg+xml"}

_DPI: Final = 100
_MANY_LABELS: Final = 8
_SHOWN_TICKS: Final = 25
_GROUP_WIDTH: Final = 0.8
_TITLE_COLUMNS: Final = 80
_SHOWN_CHARS: Final = 24
# matplotlib writes these into a file, and then no two files are equal.
_METADATA: Final[dict[Format, dict[str, Any]]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart's file. Width and height are pixels."""

    content: bytes
    media_type: str
    width: int
    height: int


def draw(spec: ChartSpec, form: Format) -> Drawing:
    """Draw `spec`. Takes a fraction of a second; call it in a thread.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    figure = _matplotlib()(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(textwrap.fill(spec.title, _TITLE_COLUMNS), parse_math=False)
    if spec.kind == "pie":
        _pie(axes, spec.series[0])
    else:
        _on_axes(axes, spec)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A script that the font does not have is shown as boxes.
        warnings.simplefilter("ignore")
        figure.savefig(file, format=form, metadata=_METADATA[form])
    return Drawing(file.getvalue(), MEDIA_TYPES[form], WIDTH, HEIGHT)


@lru_cache(maxsize=1)
def _matplotlib() -> Any:
    try:
        import matplotlib as mpl  # noqa: PLC0415 (slow to import, and an extra)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        msg = "charts are drawn by matplotlib, which is not installed here; pip install 'signalbox[charts]'"
        raise ConfigurationError(msg) from error
    mpl.use("Agg")
    # Ids in an SVG are hashes of this and of what they are of; text stays text.
    mpl.rcParams.update({"svg.hashsalt": "signalbox", "svg.fonttype": "none"})
    return Figure


def _on_axes(axes: Any, spec: ChartSpec) -> None:
    axes.set_xlabel(spec.x_label, parse_math=False)
    axes.set_ylabel(spec.y_label, parse_math=False)
    axes.grid(visible=True, axis="both" if spec.kind == "scatter" else "y", alpha=0.3)
    axes.set_axisbelow(True)
    if spec.kind == "scatter":
        handles = [_scatter(axes, one) for one in spec.series]
    else:
        places = {label: place for place, label in enumerate(spec.labels)}
        handles = [
            _series(axes, spec.kind, one, places, (number, len(spec.series)))
            for number, one in enumerate(spec.series)
        ]
        _name_ticks(axes, spec.labels)
    if len(spec.series) > 1:
        _legend(axes, handles, [_short(one.name) for one in spec.series])


def _scatter(axes: Any, series: Series) -> Any:
    places = [number_of(point.label) for point in series.points]
    return axes.scatter(places, [point.value for point in series.points], s=30)


def _series(
    axes: Any, kind: Kind, series: Series, places: dict[str, int], rank: tuple[int, int]
) -> Any:
    xs = [places[point.label] for point in series.points]
    ys = [point.value for point in series.points]
    if kind == "line":
        return axes.plot(xs, ys, marker="o")[0]
    number, count = rank
    width = _GROUP_WIDTH / count
    shift = (number - (count - 1) / 2) * width
    return axes.bar([x + shift for x in xs], ys, width=width)


def _name_ticks(axes: Any, labels: tuple[str, ...]) -> None:
    step = -(-len(labels) // _SHOWN_TICKS)
    shown = range(0, len(labels), step)
    is_crowded = len(labels) > _MANY_LABELS
    axes.set_xticks(
        list(shown),
        [_short(labels[place]) for place in shown],
        rotation=45 if is_crowded else 0,
        ha="right" if is_crowded else "center",
        parse_math=False,
    )


def _pie(axes: Any, series: Series) -> None:
    values = [point.value for point in series.points]
    wedges = axes.pie(values, startangle=90, counterclock=False)[0]
    total = sum(values)
    names = [f"{_short(p.label)}  {p.value:g} ({p.value / total:.0%})" for p in series.points]
    axes.set_aspect("equal")
    _legend(axes, wedges, names, loc="center left", bbox_to_anchor=(1, 0.5))


def _legend(axes: Any, handles: Any, names: list[str], **where: Any) -> None:
    # A name that begins with an underscore would be left out, so the names come after.
    legend = axes.legend(handles, [str(number) for number in range(len(names))], **where)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
