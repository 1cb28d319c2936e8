"""Charts: numbers read out of text, bounded specs, real files, and one file per task whatever happens between."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agents.research import chart_drawing
from agents.research.chart_drawing import HEIGHT, WIDTH, draw
from agents.research.chart_maker import draw_chart
from agents.research.chart_numbers import labelled_numbers, numbers_in
from agents.research.chart_spec import (
    MAX_POINTS,
    MAX_SLICES,
    MAX_VALUE,
    SCHEMA,
    ChartSpec,
    problems,
)
from agents.result import HandlerResult, Reply, Terminal
from connectors.chat_model import ChatModel
from connectors.scripted_model import ScriptedChatModel
from signalbox.definitions.contract import Contract
from signalbox.definitions.loader import load_fleet
from tests.support.crew import DEFINITIONS
from tests.support.tasks import context_of, task_of

OUTPUT = load_fleet(DEFINITIONS / "research").agents["chart_maker"].output.contract
CITIES = "Draw a bar chart of the population in millions: Berlin 3.7, Hamburg 1.9, Munich 1.5."


def series(name: str, *pairs: tuple[str, float]) -> dict[str, Any]:
    return {"name": name, "points": [{"label": one, "value": value} for one, value in pairs]}


def spec(kind: str, *all_series: dict[str, Any], title: str = "Title") -> dict[str, Any]:
    return {
        "kind": kind,
        "title": title,
        "x_label": "x",
        "y_label": "y",
        "series": list(all_series),
    }


SPEC = spec("bar", series("", ("Berlin", 3.7), ("Hamburg", 1.9)))


def chart(
    folder: Path, prompt: str = CITIES, model: ChatModel | None = None, **more: Any
) -> HandlerResult:
    """Let the chart maker handle one task."""
    data = {"prompt": prompt, "task": "Draw it.", "results": {}, "image": None, **more}
    task_id = data.pop("task_id", "task-1")
    return asyncio.run(draw_chart(task_of(data, task_id=task_id), context_of(folder, model)))


def drawn(folder: Path, *arguments: Any, **more: Any) -> dict[str, Any]:
    """What it answers; the file is there, and is what the answer says."""
    result = chart(folder, *arguments, **more)
    assert isinstance(result, Reply), result
    answer = dict(result.data)
    assert OUTPUT.violations(answer) == ()
    file = answer["file"]
    content = (folder / file["path"]).read_bytes()
    assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    return answer


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Berlin 3.7, Hamburg 1.9", [("Berlin", 3.7, ""), ("Hamburg", 1.9, "")]),
        ("2021: 5", [("2021", 5.0, "")]),
        (CITIES, [("Berlin", 3.7, ""), ("Hamburg", 1.9, ""), ("Munich", 1.5, "")]),
        ("Plot 2021: 5, 2022: 7 as a line", [("2021", 5.0, ""), ("2022", 7.0, "")]),
        ("apples 5 and pears 7", [("apples", 5.0, ""), ("pears", 7.0, "")]),
        ("In 2024 we sold: apples 5, pears 7.", [("apples", 5.0, ""), ("pears", 7.0, "")]),
        ("Q1 = 10; Q2 = 1,200; Q3=-4.5", [("Q1", 10.0, ""), ("Q2", 1200.0, ""), ("Q3", -4.5, "")]),
        ("- Berlin: 3.7\n- Bonn: 0.3", [("Berlin", 3.7, ""), ("Bonn", 0.3, "")]),
        ("New York 8.4 million, Los Angeles 3.9 million", [("New York", 8.4, "million"), ("Los Angeles", 3.9, "million")]),
        ("A 40%, B 60 percent", [("A", 40.0, "%"), ("B", 60.0, "%")]),
        ("Berlin 3.7, Bonn 0.3 and Ulm 0.1 million", [("Berlin", 3.7, "million"), ("Bonn", 0.3, "million"), ("Ulm", 0.1, "million")]),
        ("A 40; B 60 %", [("A", 40.0, "%"), ("B", 60.0, "%")]),
        ("A 4, B 5 million, C 6 million", [("A", 4.0, "million"), ("B", 5.0, "million"), ("C", 6.0, "million")]),
        ("A 4, B 5 %, C 6 million", [("A", 4.0, ""), ("B", 5.0, "%"), ("C", 6.0, "million")]),
        ("A 4 million, B 5", [("A", 4.0, "million"), ("B", 5.0, "")]),
        ("A 4, B 5. And then, C 6 million", [("A", 4.0, ""), ("B", 5.0, ""), ("C", 6.0, "million")]),
        ("A 4\nB 5 million", [("A", 4.0, ""), ("B", 5.0, "million")]),
        ("5, 7, 9", [("1", 5.0, ""), ("2", 7.0, ""), ("3", 9.0, "")]),
        ("Berlin 1, Berlin 2", [("Berlin", 2.0, "")]),
        ("version 3.11.2 of 2026-01-05, pages 5-7", []),
        ("Explain how it works.", []),
        ("x " + "9" * 5000, []),
        ("", []),
    ],
)  # fmt: skip
def test_numbers_are_read_with_the_labels_that_stand_by_them(
    text: str, expected: list[tuple[str, float, str]]
) -> None:
    """What a person would read out of such a line; dates, versions and ranges are no numbers of anything."""
    assert [(one.label, one.value, one.unit) for one in labelled_numbers(text)] == expected


@given(st.text(max_size=500) | st.text("ab 1,.:;=-%\n", max_size=500))
def test_any_text_gives_bounded_numbers(text: str) -> None:
    """Whatever stands there: finite numbers with labels that fit, each label once, and each number in the text."""
    found = labelled_numbers(text)

    assert len({one.label for one in found}) == len(found)
    assert all(0 < len(one.label) <= 40 and math.isfinite(one.value) for one in found)
    assert {one.value for one in found} <= numbers_in(text)


# --- specs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (spec("pie", series("a", ("x", 1)), series("b", ("x", 1))), "one series"),
        (spec("pie", series("a", ("x", -1), ("y", 3))), "below zero"),
        (spec("pie", series("a", ("x", 0))), "something above it"),
        (spec("pie", series("a", *((str(n), 1) for n in range(MAX_SLICES + 1)))), "at most 10"),
        (spec("scatter", series("a", ("north", 1))), "'north'"),
        (spec("scatter", series("a", ("nan", 1))), "'nan'"),
        (spec("scatter", series("a", ("1e300", 1))), "'1e300'"),
        (spec("bar", series("a", ("x", math.inf))), "finite"),
        (spec("bar", *(series(str(s), *((f"{s}-{n}", 1) for n in range(30))) for s in range(2))), "different labels"),
    ],
)  # fmt: skip
def test_spec_that_cannot_be_drawn_says_why(fields: dict[str, Any], said: str) -> None:
    """What the schema cannot say is said in words."""
    assert said in "; ".join(problems(fields))


@pytest.mark.parametrize(
    "fields",
    [
        SPEC | {"kind": "donut"},
        SPEC | {"title": "x" * 121},
        SPEC | {"series": []},
        SPEC | {"series": [series("a")]},
        SPEC | {"series": [series("a", ("x", 1))] * 11},
        SPEC | {"series": [series("a", *((str(n), n) for n in range(51)))]},
        SPEC | {"series": [series("a", ("x", 1e16))]},
        SPEC | {"code": "import os"},
    ],
)
def test_spec_beyond_its_bounds_does_not_fit_the_schema(fields: dict[str, Any]) -> None:
    """Kinds, lengths, series, points and values have an end."""
    assert Contract(dict(SCHEMA)).violations(fields) != ()


# --- drawing ----------------------------------------------------------------------------------------------------------

HOSTILE = "_$x^{\\frac$ --> <script>&\x1b[2J\n漢字"
EVERY_KIND = [
    spec("bar", series("_a", ("Berlin", 3.7), ("Bonn", -1)), series(HOSTILE, (HOSTILE, 2))),
    spec("line", series("a", *((str(n), (-1) ** n * MAX_VALUE) for n in range(MAX_POINTS)))),
    spec("scatter", series("a", ("1", 2), ("2.5", 0)), series("b", ("-3", 4)), title=HOSTILE),
    spec("pie", series("a", (HOSTILE, 1), ("nothing", 0), ("z", 2)), title="word " * 24),
]


@pytest.mark.parametrize("fields", EVERY_KIND, ids=lambda one: one["kind"])
def test_chart_is_a_picture_of_its_size_and_the_same_each_time(fields: dict[str, Any]) -> None:
    """Every kind becomes a PNG and a well-formed SVG, whatever the words are; equal specs give equal bytes."""
    chart_spec = ChartSpec.of(fields)
    png, svg = draw(chart_spec, "png"), draw(chart_spec, "svg")

    with Image.open(io.BytesIO(png.content)) as picture:
        assert (picture.format, picture.size) == ("PNG", (WIDTH, HEIGHT))
        assert len(set(picture.convert("RGB").resize((64, 36)).get_flattened_data())) > 4
    root = ET.fromstring(svg.content)
    assert root.tag.endswith("svg")
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    assert draw(chart_spec, "png") == png
    assert draw(chart_spec, "svg") == svg


def test_svg_keeps_its_words_as_words() -> None:
    """Labels can be searched and read aloud."""
    svg = draw(ChartSpec.of(SPEC), "svg").content.decode()

    assert ">Hamburg<" in svg


def test_missing_matplotlib_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra the task ends with what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    chart_drawing._matplotlib.cache_clear()
    result = chart(tmp_path)
    chart_drawing._matplotlib.cache_clear()

    assert isinstance(result, Terminal)
    assert "pip install 'signalbox[charts]'" in result.detail


# --- the agent --------------------------------------------------------------------------------------------------------


def test_numbers_of_a_request_are_drawn_without_a_model(tmp_path: Path) -> None:
    """The chart has the request's numbers and no others, and says that no model was asked."""
    answer = drawn(tmp_path)

    assert answer["chart"]["kind"] == "bar"
    assert answer["chart"]["series"] == [
        series("", ("Berlin", 3.7), ("Hamburg", 1.9), ("Munich", 1.5))
    ]
    assert answer["note"].startswith("No model was asked.")
    assert answer["file"]["media_type"] == "image/png"
    assert "task-1" in answer["file"]["path"]
    assert not Path(answer["file"]["path"]).is_absolute()


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a 1, b 2", "bar"),
        ("2021: 1, 2022: 2", "line"),
        ("2022: 1, 2021: 2", "bar"),
        ("the trend: a 1, b 2", "line"),
        ("the shares: a 1, b 2", "pie"),
        ("a pie: a -1, b 2", "bar"),
        ("a scatter: 1: 5, 2: 6", "scatter"),
        ("a scatter: a 5, b 6", "bar"),
        ("a pie: " + ", ".join(f"town{n} x {n + 1}" for n in range(11)), "bar"),
    ],
)
def test_kind_of_chart_is_what_the_words_say_where_the_numbers_can_be_it(
    tmp_path: Path, prompt: str, kind: str
) -> None:
    """Named kinds win; years in order are a line; what cannot be a pie or a scatter is bars."""
    assert drawn(tmp_path, prompt)["chart"]["kind"] == kind


def test_svg_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    """The request says which file it wants."""
    assert drawn(tmp_path, "As SVG: a 1, b 2")["file"]["media_type"] == "image/svg+xml"


def test_numbers_of_earlier_results_are_drawn_where_they_are_more(tmp_path: Path) -> None:
    """What a researcher found counts like the request."""
    results = {"research": {"points": ["Rhine 1233, Elbe 1094, Danube 2850"]}, "look": None}
    answer = drawn(tmp_path, "Draw the lengths of rivers.", results=results)

    assert [p["label"] for p in answer["chart"]["series"][0]["points"]] == [
        "Rhine",
        "Elbe",
        "Danube",
    ]


def test_more_numbers_than_fit_are_cut_and_it_says_so(tmp_path: Path) -> None:
    """The first fifty are drawn, and the note counts the rest."""
    answer = drawn(tmp_path, ", ".join(f"town{n} x {n}" for n in range(73)))

    assert len(answer["chart"]["series"][0]["points"]) == MAX_POINTS
    assert "The first 50 of 73 are drawn." in answer["note"]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Draw a chart.", "write them like `Berlin 3.7, Hamburg 1.9`"),
        ("a 1", "no numbers with labels"),
        ("a 5 %, b 3 million", "different units: %, million"),
    ],
)
def test_chart_of_nothing_is_not_drawn(tmp_path: Path, prompt: str, said: str) -> None:
    """No numbers, one number, or numbers of different things: the task ends, and no file is made."""
    result = chart(tmp_path, prompt)

    assert isinstance(result, Terminal)
    assert said in result.detail
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def test_unit_behind_the_last_number_is_that_of_the_chart(tmp_path: Path) -> None:
    """People write the unit once; the chart has it on its axis."""
    answer = drawn(tmp_path, "Draw Berlin 3.7, Hamburg 1.9 and Munich 1.5 million")

    assert answer["chart"]["y_label"] == "million"
    assert [one["value"] for one in answer["chart"]["series"][0]["points"]] == [3.7, 1.9, 1.5]


def test_model_says_what_is_drawn_and_code_draws_it(tmp_path: Path) -> None:
    """The model is given task, request and results, and its spec is what the file shows."""
    model = ScriptedChatModel({"under_test": SPEC}, name="ollama/scripted")
    answer = drawn(tmp_path, model=model, results={"research": {"points": ["Hamburg has 1.9"]}})

    assert answer["chart"] == SPEC
    assert answer["written_by"] == "ollama/scripted"
    assert answer["note"] == ""
    assert "Hamburg has 1.9" in model.requests[0].user


def test_numbers_that_a_model_made_up_are_named(tmp_path: Path) -> None:
    """A number that stands nowhere is drawn, because it may be a sum, and said to be the model's."""
    made_up = spec("bar", series("", ("Berlin", 3.7), ("Atlantis", 42.5)))
    answer = drawn(tmp_path, model=ScriptedChatModel({"under_test": made_up}, name="ollama/x"))

    assert answer["note"].startswith("The model wrote 42.5, which stands neither in the request")


def test_numbers_of_earlier_results_are_not_made_up(tmp_path: Path) -> None:
    """Also those that stand in a result as numbers, as another chart has them."""
    results = {"before": {"chart": SPEC}}
    again = spec("line", series("", ("Berlin", 3.7)))
    model = ScriptedChatModel({"under_test": again}, name="ollama/x")

    assert drawn(tmp_path, "Draw it again.", model=model, results=results)["note"] == ""


def test_model_that_writes_an_impossible_chart_is_told_and_asked_once_more(tmp_path: Path) -> None:
    """What cannot be drawn goes back with the reason; twice, and the task ends."""
    bad, answers = spec("scatter", series("", ("north", 1))), []

    def say(request: Any) -> Any:
        answers.append(request.user)
        return bad if len(answers) == 1 else SPEC

    assert drawn(tmp_path, model=ScriptedChatModel(say, name="ollama/x"))["chart"] == SPEC
    assert "every label is a number" in answers[1]
    result = chart(tmp_path, model=ScriptedChatModel({"under_test": bad}, name="x"), task_id="t-2")
    assert isinstance(result, Terminal)
    assert result.reason == "output_contract_violated"


def test_task_that_comes_again_has_the_same_file_whatever_the_model_says_then(
    tmp_path: Path,
) -> None:
    """One file per task: the second time nothing is asked, nothing is drawn anew, and the answer is the same."""
    first = drawn(tmp_path, model=ScriptedChatModel({"under_test": SPEC}, name="ollama/x"))
    other = ScriptedChatModel({"under_test": spec("line", series("", ("q", 1)))}, name="ollama/x")
    again = drawn(tmp_path, model=other)

    assert again == first
    assert other.requests == []
    assert len(list(tmp_path.rglob("*.png"))) == 1
    assert drawn(tmp_path, model=other, task_id="task-2")["chart"]["kind"] == "line"


def test_task_that_died_between_deciding_and_drawing_draws_what_was_decided(tmp_path: Path) -> None:
    """The decision is on disk before the file is, so no second opinion gets in between."""
    first = drawn(tmp_path, model=ScriptedChatModel({"under_test": SPEC}, name="ollama/x"))
    (tmp_path / first["file"]["path"]).unlink()

    assert drawn(tmp_path, model=ScriptedChatModel({}, name="ollama/x")) == first


@given(
    st.text(min_size=1, max_size=60),
    st.lists(st.tuples(st.text(max_size=40), st.floats(-1e15, 1e15)), min_size=1, max_size=5),
)
def test_any_labels_and_numbers_survive_the_way_into_a_spec(
    title: str, pairs: list[tuple[str, float]]
) -> None:
    """What fits the schema becomes a spec of one line texts, and reads back as itself."""
    made = ChartSpec.of(spec("bar", series("s", *pairs), title=title))

    assert ChartSpec.of(made.as_json()) == made
    assert made.title.isprintable()
