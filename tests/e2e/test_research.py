"""Prompts as a person asks them: real Kafka, real Flink, the research fleet's own processes, and files that are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.commands import processes_of, signalbox, stack_environ

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A stack of this module's own, with the research fleet beside the sdr fleet; taken down at the end whatever happened."""
    home = tmp_path_factory.mktemp("research") / "home"
    environ = stack_environ(home, FLEETS="sdr,research")
    yield environ
    signalbox(environ, "down")


def test_demo_of_the_research_fleet_ends_as_its_file_says(environ: dict[str, str]) -> None:
    """Every prompt of the demo has the outcome and the answer that its file expects; the charts are there."""
    result = signalbox(environ, "demo", "--fleet", "research", "--leads", "10", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])

    assert told["outcomes"] == {"completed": 9, "none": 1}
    assert told["decisions"]["workflow"] > 30
    assert told["reviews"] == 0
    outbox = Path(environ["SIGNALBOX_HOME"]) / "outbox"
    assert len(list(outbox.rglob("*.png"))) >= 2
    assert len(list(outbox.rglob("*.svg"))) >= 1


def test_ask_prints_one_object_with_the_plan_the_answer_and_the_chart(
    environ: dict[str, str],
) -> None:
    """On the running stack: every task done, with its time, and a file that is what the answer says."""
    prompt = "Explain the lengths of these rivers with a chart: Rhine 1233, Elbe 1094, Danube 2850"
    result = signalbox(environ, "ask", prompt, "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)

    assert (told["status"], result.stdout.count("\n")) == ("completed", 1)
    assert {one["agent"]: one["status"] for one in told["plan"]} == {
        "researcher": "done",
        "chart_maker": "done",
        "writer": "done",
    }
    assert all(one["seconds"] is not None for one in told["plan"])
    (file,) = told["files"]
    content = Path(file["path"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == file["sha256"]
    assert "Danube 2850" in told["answer"]

    trace = signalbox(environ, "trace", told["conversation"], "--json")
    assert json.loads(trace.stdout)["workflow"]["status"] == "completed"


def test_ask_about_an_image_measures_it(environ: dict[str, str], tmp_path: Path) -> None:
    """The picture travels in the message, and what is certain about it comes back."""
    picture = tmp_path / "red.png"
    Image.new("RGB", (64, 48), (200, 30, 30)).save(picture)
    result = signalbox(environ, "ask", "What is this?", "--image", str(picture))

    assert result.returncode == 0, result.stderr
    assert "64 × 48 pixels" in result.stdout
    assert "Nobody looked at the image." in result.stdout


def test_ask_ends_with_what_is_wrong_before_and_after_the_stack_is_there(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """A file that is no picture is misuse; after `down` nothing is left and there is no stack to ask."""
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    assert signalbox(environ, "ask", "What is this?", "--image", str(text)).returncode == 2

    assert signalbox(environ, "down").returncode == 0
    assert processes_of(environ) == []
    result = signalbox(environ, "ask", "Anybody there?")
    assert result.returncode == 2
    assert "signalbox up" in result.stderr
