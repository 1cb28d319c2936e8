"""The fault proxy of the fault runs: each fault is what it says, and ends when it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it is told; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                while heard := connection.recv(1024):
                    connection.sendall(heard)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.close()


def _connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def _say(connection: socket.socket) -> bytes:
    connection.sendall(b"hello")
    return connection.recv(1024)


def test_proxy_without_a_fault_forwards_both_ways(echo: int) -> None:
    """Bytes go through unchanged."""
    with FaultProxy(echo) as proxy, _connect(proxy) as connection:
        assert _say(connection) == b"hello"


def test_proxy_delay_holds_bytes_back(echo: int) -> None:
    """There and back take at least the delay each."""
    with FaultProxy(echo) as proxy, _connect(proxy) as connection:
        proxy.set("delay", delay_seconds=0.1)
        started = time.monotonic()

        assert _say(connection) == b"hello"
        assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("fault", ["drop", "half_open"])
def test_proxy_lost_bytes_leave_the_connection_open_until_it_is_healed(
    echo: int, fault: str
) -> None:
    """No answer and no end; after healing the old connection is reset and a new one works."""
    with FaultProxy(echo) as proxy, _connect(proxy) as connection:
        assert _say(connection) == b"hello"
        proxy.set(fault)  # type: ignore[arg-type]
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            _say(connection)

        proxy.heal()

        connection.settimeout(5)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        with _connect(proxy) as another:
            assert _say(another) == b"hello"


def test_proxy_reset_ends_connections_old_and_new(echo: int) -> None:
    """A TCP reset, not an orderly end."""
    with FaultProxy(echo) as proxy, _connect(proxy) as connection:
        assert _say(connection) == b"hello"
        proxy.set("reset")
        with pytest.raises(ConnectionError):
            _say(connection)
        # The reset may come before `connect` returns, or after.
        with pytest.raises(ConnectionError), _connect(proxy) as another:
            _say(another)


def test_proxy_refuse_ends_only_new_connections(echo: int) -> None:
    """Who is connected goes on."""
    with FaultProxy(echo) as proxy, _connect(proxy) as connection:
        assert _say(connection) == b"hello"
        proxy.set("refuse")
        with _connect(proxy) as another:
            assert another.recv(1) == b""
        assert _say(connection) == b"hello"
