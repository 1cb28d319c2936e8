"""The sdr fleet with a model at every step: routes, scores and texts come from a stub that speaks OpenAI's API."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.commands import ROOT, signalbox, stack_environ

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def stub() -> Iterator[dict[str, str]]:
    """The stub model in a process of its own: `port`, `openai_base_url`."""
    program = [sys.executable, str(ROOT / "benchmarks" / "stub_model.py"), "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


@pytest.fixture
def environ(tmp_path, stub) -> Iterator[dict[str, str]]:
    """A stack whose model is the stub and whose policy asks it for every route."""
    environ = stack_environ(
        tmp_path / "home",
        MODEL__PROVIDER="openai",
        MODEL__NAME="stub",
        MODEL__BASE_URL=stub["openai_base_url"],
        MODEL__API_KEY="canary-7f3a",
        ROUTING__POLICY="model_always",
    )
    yield environ
    signalbox(environ, "down")


def test_sdr_model_always_places_every_message_by_the_model(environ, stub, tmp_path):
    """Every dispatch is the model's, every lead ends, the texts carry the model's name, and its key is in its own file alone."""
    demo = signalbox(environ, "demo", "--json")
    assert demo.returncode == 0, demo.stderr
    value = json.loads(demo.stdout.splitlines()[-1])

    assert value["outcomes"] == {"completed": 12}
    # By contract only the ends: nobody may act on `email.sent`.
    assert value["decisions"].get("contract") == 12
    assert value["decisions"]["model"] >= 12
    with urllib.request.urlopen(f"http://127.0.0.1:{stub['port']}/stats") as response:
        calls = json.load(response)["calls"]
    assert calls > value["decisions"]["model"]  # the agents' texts besides the routes

    hint = signalbox(environ, "demo", "--leads", "1")
    conversation = next(
        line.split()[-1] for line in hint.stdout.splitlines() if "signalbox trace" in line
    )
    trace = signalbox(environ, "trace", conversation, "--json").stdout
    assert "openai/stub" in trace

    assert signalbox(environ, "down").returncode == 0
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert len(written) > 20
    holding = [path for path in written if b"canary-7f3a" in path.read_bytes()]
    assert [str(path.relative_to(tmp_path / "home")) for path in holding] == [
        "secrets/model_api_key"
    ]
    assert holding[0].stat().st_mode & 0o777 == 0o600
