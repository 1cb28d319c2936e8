"""TCP ports on the loopback interface: free ones, and who holds one that is not."""

from __future__ import annotations

import contextlib
import socket
from typing import Final

import psutil

from signalbox.errors import StackError

LOOPBACK: Final = "127.0.0.1"


def free_port() -> int:
    """Return a port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Return whether something accepts connections on `host:port`."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def is_free(port: int) -> bool:
    """Return whether a server could bind to this port on loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def owner(port: int) -> str:
    """Return who listens on the port, `java (pid 4711)`; `another process` where the system does not tell."""
    with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.pid and tuple(connection.laddr)[1:2] == (port,):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"


def require_free(port: int, *, what: str, setting: str) -> None:
    """Check that `port` can be used.

    Raises:
        StackError: it is taken; names who has it and the setting (an environment variable) that chooses another.
    """
    if not is_free(port):
        msg = (
            f"port {port} for {what} is used by {owner(port)}; "
            f"stop it, or choose another port: {setting}={free_port()}"
        )
        raise StackError(msg)
