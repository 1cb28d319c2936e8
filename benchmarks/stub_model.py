"""A stub chat model on loopback: speaks OpenAI's chat completions and Ollama's /api/chat, slowly and badly on purpose.

    python benchmarks/stub_model.py --port 0 --median-seconds 0.3 --sigma 0.8 --seed 1

prints `{"port": …, "openai_base_url": …, "ollama_base_url": …}` as one JSON line and serves until it is stopped.
Latencies are lognormal, drawn by seed in the order of arrival. An answer fits the request's JSON Schema: the first
value of an enum, the shortest list, the middle of a range.

A fault is chosen, the first that applies: by the address (`/<mode>/v1`, `/<mode>/api/chat`); by the prompt, where it
says `stub-mode=<mode>`; by the prompt's hash (`POST /mix` with `{"<mode>": share}`, so equal prompts meet equal faults);
by the time (`POST /schedule` with `[[after_seconds, "<mode>"], …]`); for everybody (`--mode`, `POST /mode/<mode>`).
`GET /stats` counts calls, calls in flight, connections that callers gave up, and latencies; `GET /calls` says how often
each prompt was asked, by hash; `POST /stats/reset` forgets both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MODES: Final = (
    "ok",
    "fast",
    "slow",
    "hang",
    "rate_limited",
    "error",
    "bad_request",
    "unauthorized",
    "truncated",
    "garbage",
    "not_json_body",
    "wrong_name",
    "huge",
    "empty",
    "reset",
    "blind",
)
RETRY_AFTER_SECONDS: Final = 7
SLOW_FACTOR: Final = 10
_HUGE_CHARS: Final = 1024 * 1024
_MARK: Final = re.compile(rb"stub-mode=([a-z_]+)")
_STATUSES: Final = {
    "rate_limited": (429, "Too Many Requests"),
    "error": (500, "Internal Server Error"),
    "bad_request": (400, "Bad Request"),
    "unauthorized": (401, "Unauthorized"),
    # How llama.cpp's server says that its model takes no pictures.
    "blind": (500, "image input is not supported"),
}


@dataclass
class Stats:
    """What was asked so far. Latencies are the stub's own, in seconds."""

    calls: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    answered: int = 0
    abandoned: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_seconds: list[float] = field(default_factory=list)
    prompts: Counter[str] = field(default_factory=Counter)
    started_at: float = field(default_factory=time.time)
    in_flight_seconds: float = 0.0
    last_change: float = field(default_factory=time.perf_counter)

    def step(self, change: int) -> None:
        """Count one call more or less in flight, and the time spent at the level before."""
        now = time.perf_counter()
        self.in_flight_seconds += self.in_flight * (now - self.last_change)
        self.last_change = now
        self.in_flight += change
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON; `in_flight_seconds` is the integral of calls in flight over time."""
        self.step(0)
        ordered = sorted(self.latencies_seconds)
        count = len(ordered)
        return {
            "calls": self.calls,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "in_flight_seconds": self.in_flight_seconds,
            "answered": self.answered,
            "abandoned": self.abandoned,
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "latency_mean_seconds": sum(ordered) / count if count else 0.0,
            "latency_p50_seconds": ordered[count // 2] if count else 0.0,
            "latency_p99_seconds": ordered[min(count - 1, int(count * 0.99))] if count else 0.0,
            "latencies_seconds": self.latencies_seconds,
            "elapsed_seconds": time.time() - self.started_at,
        }


class StubModel:
    """The server. `start` binds 127.0.0.1; `port` 0 takes a free one."""

    def __init__(
        self, *, median_seconds: float = 0.0, sigma: float = 0.0, seed: int = 1, mode: str = "ok"
    ) -> None:
        self.mode = mode
        self.mix: dict[str, float] = {}
        self.capabilities: list[str] | None = ["completion", "vision"]
        self.stats = Stats()
        self.port = 0
        self._median_seconds = median_seconds
        self._sigma = sigma
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []

    async def start(self, port: int = 0) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=2048)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for timer in self._timers:
            timer.cancel()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def set_schedule(self, steps: Sequence[tuple[float, str]]) -> None:
        """Change the mode by itself: each step's mode from so many seconds after now on. Replaces a former schedule."""
        for _, mode in steps:
            _require_mode(mode)
        for timer in self._timers:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(seconds, setattr, self, "mode", mode) for seconds, mode in steps
        ]

    def mode_of(self, path: str, body: bytes) -> str:
        """Return the mode that applies to a question."""
        first = path.strip("/").split("/")[0]
        if first in MODES:
            return first
        marked = _MARK.search(body)
        if marked is not None and marked[1].decode() in MODES:
            return marked[1].decode()
        share = int(prompt_hash(body)[:8], 16) / 0x1_0000_0000
        for mode, part in self.mix.items():
            if share < part:
                return mode
            share -= part
        return self.mode

    def next_latency_seconds(self) -> float:
        """Draw the next latency: lognormal with the given median and sigma."""
        if self._median_seconds <= 0:
            return 0.0
        return self._random.lognormvariate(math.log(self._median_seconds), self._sigma)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        # The end of a connection is the caller's business; the next one is another connection.
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            while await self._serve_one(reader, writer):
                pass
        writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *header_lines = head.split("\r\n")
        method, path, _ = request_line.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in header_lines if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path.endswith(("/chat/completions", "/api/chat")):
            return await self._chat(path, body, reader, writer)
        writer.write(_response(*self._control(method, path, body)))
        await writer.drain()
        return True

    def _control(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        if path == "/stats":
            return 200, "OK", _json(self.stats.as_json())
        if path == "/calls":
            return 200, "OK", _json(self.stats.prompts)
        if method == "POST" and path in ("/mix", "/schedule"):
            return self._configure(path, body)
        if method == "POST" and path == "/stats/reset":
            in_flight = self.stats.in_flight
            self.stats = Stats(in_flight=in_flight, max_in_flight=in_flight)
            return 200, "OK", b"{}"
        if method == "POST" and path.startswith("/mode/") and path[6:] in MODES:
            self.mode = path[6:]
            return 200, "OK", _json({"mode": self.mode})
        if method == "POST" and path.endswith("/api/show"):
            can = {"capabilities": self.capabilities} if self.capabilities is not None else {}
            return 200, "OK", _json({"model_info": {}, **can})
        if path == "/api/tags":
            return 200, "OK", _json({"models": [{"name": "stub:latest", "model": "stub:latest"}]})
        if path.endswith("/v1/models"):
            return 200, "OK", _json({"object": "list", "data": [{"id": "stub", "object": "model"}]})
        return 404, "Not Found", _json({"error": f"{method} {path}; modes: {', '.join(MODES)}"})

    def _configure(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        try:
            asked = json.loads(body)
            if path == "/mix":
                mix = {str(mode): float(part) for mode, part in asked.items()}
                for mode in mix:
                    _require_mode(mode)
                self.mix = mix
            else:
                self.set_schedule([(float(seconds), str(mode)) for seconds, mode in asked])
        except (ValueError, TypeError, AttributeError) as error:
            return 400, "Bad Request", _json({"error": f"{path}: {error}"})
        return 200, "OK", b"{}"

    async def _chat(
        self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        mode = self.mode_of(path, body)
        self.stats.calls += 1
        self.stats.prompts[prompt_hash(body)] += 1
        self.stats.step(+1)
        try:
            if mode == "reset":
                writer.transport.abort()
                return False
            latency = self._latency_seconds(mode)
            if not await self._wait(latency, reader):
                self.stats.abandoned += 1
                return False
            status, reason, extra, answer = _answer(mode, path.endswith("/api/chat"), body)
            self.stats.answered += 1
            self.stats.statuses[status] += 1
            self.stats.latencies_seconds.append(latency)
            writer.write(_response(status, reason, answer, extra))
            await writer.drain()
            return True
        finally:
            self.stats.step(-1)

    def _latency_seconds(self, mode: str) -> float:
        if mode in ("hang", "fast"):
            return 3600.0 if mode == "hang" else 0.0
        return self.next_latency_seconds() * (SLOW_FACTOR if mode == "slow" else 1)

    async def _wait(self, seconds: float, reader: asyncio.StreamReader) -> bool:
        """Wait; False as soon as the caller has closed its connection."""
        if seconds <= 0:
            return True
        # A caller sends nothing while it waits: the only thing that can come is the end.
        try:
            async with asyncio.timeout(seconds):
                await reader.read(1)
        except TimeoutError:
            return True
        return False


def prompt_hash(body: bytes) -> str:
    """Return 16 hex digits that stand for the messages of a question, whatever else the request says."""
    try:
        asked = json.loads(body)["messages"]
    except (ValueError, TypeError, KeyError):
        asked = body.decode("latin-1")
    return hashlib.sha256(_json(asked)).hexdigest()[:16]


def _require_mode(mode: str) -> None:
    if mode not in MODES:
        msg = f"there is no mode {mode!r}; modes: {', '.join(MODES)}"
        raise ValueError(msg)


def sample(schema: Mapping[str, Any]) -> Any:
    """Return a small value that fits `schema`, as far as our schemas go."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {name: sample(properties[name]) for name in schema.get("required", properties)}
    if kind == "array":
        return [sample(schema.get("items", {}))] * max(int(schema.get("minItems", 0)), 0)
    if kind in ("integer", "number"):
        middle = (
            schema.get("minimum", 0) + schema.get("maximum", schema.get("minimum", 0) + 100)
        ) / 2
        return int(middle) if kind == "integer" else middle
    if kind == "boolean":
        return True
    text = "This is the stub model's text."
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _answer(mode: str, is_ollama: bool, body: bytes) -> tuple[int, str, tuple[str, ...], bytes]:
    """Return status, reason, extra headers and body."""
    if mode in _STATUSES:
        status, reason = _STATUSES[mode]
        extra = (f"Retry-After: {RETRY_AFTER_SECONDS}",) if mode == "rate_limited" else ()
        return status, reason, extra, _json({"error": reason if is_ollama else {"message": reason}})
    if mode == "not_json_body":
        return 200, "OK", (), b"<html>not a chat model</html>"
    request = json.loads(body)
    content, is_cut = _content(mode, request, is_ollama)
    wrap = _ollama_body if is_ollama else _openai_body
    return 200, "OK", (), _json(wrap(request, content, is_cut=is_cut))


def _content(mode: str, request: Mapping[str, Any], is_ollama: bool) -> tuple[str, bool]:
    schema = (
        request.get("format")
        if is_ollama
        else request.get("response_format", {}).get("json_schema", {}).get("schema")
    )
    if not isinstance(schema, dict):
        schema = _schema_in_prompt(request)
    value = sample(schema) if isinstance(schema, dict) else {}
    if mode == "wrong_name" and isinstance(value, dict):
        value["agent"] = "somebody_else"
    text = json.dumps(value)
    if mode == "truncated":
        return text[: len(text) // 2], True
    if mode == "garbage":
        return "I would send this to lead_scoring, I think!", False
    if mode == "huge":
        return "x" * _HUGE_CHARS, False
    return ("" if mode == "empty" else text), False


def _schema_in_prompt(request: Mapping[str, Any]) -> Any:
    """Return the schema on the line behind "JSON Schema:", as for servers without structured output; None without one."""
    for message in request.get("messages", ()):
        _, found, rest = str(message.get("content", "")).partition("JSON Schema:\n")
        if found:
            return json.loads(rest.partition("\n")[0])
    return None


def _openai_body(request: Mapping[str, Any], content: str, *, is_cut: bool) -> dict[str, Any]:
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.get("model", "stub"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": "length" if is_cut else "stop",
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def _ollama_body(request: Mapping[str, Any], content: str, *, is_cut: bool) -> dict[str, Any]:
    return {
        "model": request.get("model", "stub"),
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": content},
        "done": True,
        "done_reason": "length" if is_cut else "stop",
        "prompt_eval_count": 100,
        "eval_count": 20,
    }


def _response(status: int, reason: str, body: bytes, extra: tuple[str, ...] = ()) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *extra,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


async def _main(arguments: argparse.Namespace) -> None:
    stub = StubModel(
        median_seconds=arguments.median_seconds,
        sigma=arguments.sigma,
        seed=arguments.seed,
        mode=arguments.mode,
    )
    port = await stub.start(arguments.port)
    address = f"http://127.0.0.1:{port}"
    said = {"port": port, "openai_base_url": f"{address}/v1", "ollama_base_url": address}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await stub.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stub chat model on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--median-seconds", type=float, default=0.3)
    parser.add_argument("--sigma", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=MODES, default="ok")
    asyncio.run(_main(parser.parse_args()))
