"""Ports: free ones are found, taken ones are explained."""

from __future__ import annotations

import os
import socket

import pytest

from signalbox.errors import StackError
from signalbox.local_stack import ports


def test_require_free_busy_port_names_owner_and_setting() -> None:
    """The error names the port, who listens there, and the setting with a port that is free."""
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]

        with pytest.raises(StackError) as raised:
            ports.require_free(port, what="Kafka", setting="SIGNALBOX_KAFKA__PORT")

    message = str(raised.value)
    assert f"port {port} for Kafka" in message
    assert f"pid {os.getpid()}" in message
    assert "SIGNALBOX_KAFKA__PORT=" in message


def test_free_port_can_be_used() -> None:
    """A free port passes the check."""
    ports.require_free(ports.free_port(), what="Flink", setting="SIGNALBOX_FLINK__REST_PORT")
