"""The gateway's end, in a process of its own: open streams are told, none is waited for until it is cut."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.store import Store
from signalbox.local_stack.ports import free_port

STREAMS = 40
PATIENCE_SECONDS = 60.0


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def gateway(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway whose broker is away, with a read model that knows nothing."""
    with Store(ReadModelPlace(tmp_path / "readmodel").current(), ""):
        pass
    own = {
        "SIGNALBOX_HOME": str(tmp_path),
        "SIGNALBOX_GATEWAY__PORT": str(port),
        "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "signalbox.gateway"],
            env={**os.environ, **own},
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def opened(port: int, path: str, process: subprocess.Popen[bytes]) -> socket.socket:
    """A stream that has begun, tried again until the gateway listens."""
    while process.poll() is None:
        try:
            made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        except ConnectionRefusedError:
            continue
        made.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert made.recv(65536).startswith(b"HTTP/1.1 200")
        return made
    pytest.fail("the gateway has ended")


@pytest.mark.parametrize("times", [1, 2])
def test_open_streams_keep_no_gateway_from_its_end(
    gateway: subprocess.Popen[bytes], port: int, tmp_path: Path, times: int
) -> None:
    """SIGTERM, once or again at once: every stream ends by itself, and none has to be cut when the time to drain is over."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(closing(opened(port, path, gateway)))
            for path in ("/ui/stream", "/ui/live/stream") * (STREAMS // 2)
        ]
        for _ in range(times):
            gateway.send_signal(signal.SIGTERM)
        gateway.wait(PATIENCE_SECONDS)
        for one in streams:
            while one.recv(65536):
                pass

    log = (tmp_path / "log").read_text("utf-8")
    assert "graceful shutdown" not in log, log
    assert "Traceback" not in log, log
