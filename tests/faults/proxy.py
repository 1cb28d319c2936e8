"""A TCP proxy that misbehaves when told: in front of a broker or a model server, on loopback, in a thread of its own.

Kafka's clients follow the address that the broker advertises: it must be the proxy's (`BrokerPlan.advertised_port`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Literal, Self

Fault = Literal["none", "delay", "drop", "half_open", "reset", "refuse"]
"""What happens from now on.

`delay`: every chunk of bytes waits `delay_seconds`. `drop`: bytes vanish in both directions, connections stay, new ones
are accepted and get no answer (a partition). `half_open`: only what the server says vanishes. `reset`: every
connection, old or new, ends in a TCP reset. `refuse`: old connections stay, new ones are closed at once.
"""


class FaultProxy:
    """Forwards `127.0.0.1:port` to `127.0.0.1:target`. A context manager; `set` changes the fault at once."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.port = port
        self.connections = 0
        self._fault: Fault = "none"
        self._delay_seconds = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def set(self, fault: Fault, *, delay_seconds: float = 0.0) -> None:
        """Misbehave like this from now on."""

        def change() -> None:
            self._fault, self._delay_seconds = fault, delay_seconds
            if fault == "reset":
                for writer in list(self._writers):
                    _reset(writer)

        self._loop.call_soon_threadsafe(change)

    def heal(self) -> None:
        """Behave again. What was dropped is gone, so connections that lost bytes are reset for their owners to notice."""
        if self._fault in ("drop", "half_open"):
            self.set("reset")
        self.set("none")

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return int(self._server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._fault == "reset":
            _reset(writer)
            return
        if self._fault == "refuse":
            writer.close()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, server_writer, is_answer=False),
                self._pump(server_reader, writer, is_answer=True),
            )
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(64 * 1024):
                if self._fault == "delay":
                    await asyncio.sleep(self._delay_seconds)
                if self._fault == "drop" or (self._fault == "half_open" and is_answer):
                    continue
                writer.write(chunk)
                await writer.drain()
        if self._fault not in ("drop", "half_open"):
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    # Without lingering the kernel sends RST instead of FIN.
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
