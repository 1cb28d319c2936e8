"""HTTP to a model server: one connection per call in flight, refusals as our errors, and a body that has an end.

httpx's own pool looks at every connection at every request: measured with 250 calls in flight, 24 ms of CPU a call.
Here an idle connection is taken from a stack and put back, whatever their number. As many are open as calls are in
flight; who bounds the calls bounds them. Proxies of the environment are not used: a model server is addressed directly.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Final

import httpx

from connectors.chat_model import MAX_ANSWER_BYTES
from connectors.model_errors import error_for_status
from signalbox.errors import RetryableError

# JSON may write each byte of an answer as six (\u00e4), and there is an envelope around it.
MAX_BODY_BYTES: Final = 8 * MAX_ANSWER_BYTES
_SHOWN_BODY_BYTES: Final = 2048
_IDLE_SECONDS: Final = 30.0


class BoundedTransport(httpx.AsyncBaseTransport):
    """Raises `RetryableError` and `TerminalError` itself; httpx passes them through."""

    def __init__(self, model: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Serve the model named `model` in errors; `clock` says how long a connection was idle."""
        self._model = model
        self._clock = clock
        # Newest last: the warmest connection is used next, the coldest are closed from the other end.
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; the response's body stops at `MAX_BODY_BYTES`.

        Raises:
            RetryableError, TerminalError: the server refused.
        """
        # What is bounded is what comes over the wire, so it must not be compressed.
        request.headers["accept-encoding"] = "identity"
        line = self._idle.pop()[1] if self._idle else _open_line()
        try:
            response = await line.handle_async_request(request)
        except BaseException:
            await line.aclose()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _BoundedStream(response.stream, self, line)
        if response.status_code < 300:
            return response
        raise error_for_status(
            self._model,
            response.status_code,
            retry_after=response.headers.get("retry-after"),
            body=(await _first_bytes(response)).decode("utf-8", "replace"),
        )

    async def put_back(self, line: httpx.AsyncHTTPTransport, *, is_reusable: bool) -> None:
        """Take back a line after its response was read, or given up."""
        if not is_reusable or self._is_closed:
            await line.aclose()
            return
        now = self._clock()
        self._idle.append((now, line))
        while self._idle and now - self._idle[0][0] > _IDLE_SECONDS:
            await self._idle.popleft()[1].aclose()

    def oversized(self) -> RetryableError:
        """Return the error for a body beyond `MAX_BODY_BYTES`."""
        return RetryableError(
            f"{self._model} answered with more than {MAX_BODY_BYTES} bytes; the connection was closed"
        )

    async def aclose(self) -> None:
        """Close every idle connection, and each other one when its call ends."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop()[1].aclose()


class _BoundedStream(httpx.AsyncByteStream):
    """A response's body; gives its line back when it is closed."""

    def __init__(
        self,
        inner: httpx.AsyncByteStream,
        transport: BoundedTransport,
        line: httpx.AsyncHTTPTransport,
    ) -> None:
        self._inner = inner
        self._transport = transport
        self._line: httpx.AsyncHTTPTransport | None = line
        self._is_complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise self._transport.oversized()
            yield chunk
        self._is_complete = True

    async def aclose(self) -> None:
        line, self._line = self._line, None
        try:
            await self._inner.aclose()
        finally:
            if line is not None:
                await self._transport.put_back(line, is_reusable=self._is_complete)


def _open_line() -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=_ssl_context(),
        limits=httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=_IDLE_SECONDS
        ),
    )


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    # Reading the certificate store costs tens of milliseconds; once is enough.
    return httpx.create_ssl_context()


async def _first_bytes(response: httpx.Response) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= _SHOWN_BODY_BYTES:
                break
    finally:
        await response.aclose()
    return bytes(body[:_SHOWN_BODY_BYTES])
