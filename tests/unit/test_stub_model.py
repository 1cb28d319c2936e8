"""The stub chat model of benchmarks and end-to-end tests: its answers fit what our agents and the router ask."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from agents.answer_schema import asked_schema
from benchmarks.stub_model import StubModel, sample
from signalbox.definitions.contract import Contract
from signalbox.definitions.loader import load_fleet
from signalbox.routing.prompt import answer_schema

ROOT = Path(__file__).parents[2]
FLEET = load_fleet(ROOT / "agent_definitions" / "sdr")
PROMPTED = [name for name, agent in FLEET.agents.items() if agent.handler.prompt is not None]


@pytest.mark.parametrize("agent", PROMPTED)
def test_stub_answer_fits_what_a_prompt_agent_asks(agent: str) -> None:
    """The pipeline runs through with the stub as its model."""
    asked = asked_schema(FLEET.agents[agent].output.json_schema)

    assert Contract(asked).violations(sample(asked)) == ()


def test_stub_answer_to_the_router_is_the_first_candidate() -> None:
    """The stub names a candidate, never NONE, so that messages go on."""
    schema = answer_schema(("active_outreach", "nurture_campaign"))
    answer = sample(schema)

    assert answer["agent"] == "active_outreach"
    assert Contract(schema).accepts(answer)


def test_stub_latencies_are_the_same_for_the_same_seed() -> None:
    """Two runs of a benchmark meet the same model."""

    def draw(seed: int) -> list[float]:
        stub = StubModel(median_seconds=0.3, sigma=0.8, seed=seed)
        return [stub.next_latency_seconds() for _ in range(2001)]

    latencies = draw(1)

    assert latencies == draw(1)
    assert latencies != draw(2)
    assert 0.25 < sorted(latencies)[1000] < 0.35


def test_stub_as_a_process_says_its_port_and_stops_when_told() -> None:
    """One JSON line names the port and the addresses; SIGTERM ends it cleanly."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "stub_model.py"), "--median-seconds", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        address = f"http://127.0.0.1:{said['port']}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        stats = json.loads(opener.open(f"{address}/stats", timeout=10).read())
    finally:
        process.terminate()
        code = process.wait(10)

    assert said["openai_base_url"] == f"{address}/v1"
    assert stats["calls"] == 0
    assert code == 0


def _question(text: str) -> bytes:
    return json.dumps({"model": "stub", "messages": [{"role": "user", "content": text}]}).encode()


def test_stub_mode_is_chosen_by_address_then_mark_then_hash_then_for_everybody() -> None:
    """A fault can be aimed at one message, at a share of all prompts, or at everybody."""
    stub = StubModel(mode="error")
    stub.mix = {"hang": 0.25, "garbage": 0.25}
    marked = _question("a message with stub-mode=reset in it")
    modes = [stub.mode_of("/v1/chat/completions", _question(f"n {n}")) for n in range(1000)]

    assert stub.mode_of("/slow/v1/chat/completions", marked) == "slow"
    assert stub.mode_of("/v1/chat/completions", marked) == "reset"
    assert modes == [stub.mode_of("/v1/chat/completions", _question(f"n {n}")) for n in range(1000)]
    assert 200 < modes.count("hang") < 300
    assert 200 < modes.count("garbage") < 300
    assert modes.count("error") == 1000 - modes.count("hang") - modes.count("garbage")


def test_stub_schedule_changes_the_mode_by_itself_and_calls_are_counted_by_prompt() -> None:
    """A schedule is set over HTTP and a wrong one refused; each prompt's calls can be asked for."""

    async def ask(path: str, body: bytes, port: int) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        writer.close()
        return int(answer.split()[1]), content

    async def run() -> None:
        stub = StubModel()
        port = await stub.start()
        assert (await ask("/schedule", b'[[0, "nonsense"]]', port))[0] == 400
        assert (await ask("/schedule", b'[[0, "bad_request"], [0.02, "ok"]]', port))[0] == 200
        while stub.mode != "bad_request":
            await asyncio.sleep(0)
        assert (await ask("/v1/chat/completions", _question("x"), port))[0] == 400
        while stub.mode != "ok":
            await asyncio.sleep(0.005)
        assert (await ask("/v1/chat/completions", _question("x"), port))[0] == 200
        assert list(json.loads((await ask("/calls", b"", port))[1]).values()) == [2]
        await stub.stop()

    asyncio.run(asyncio.wait_for(run(), 20))
