"""HTTP to a model server, bounded: refusals become our errors with their `Retry-After`, and a body has an end.

Sits below the Ollama client, which keeps no headers of a refusal and reads any body whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx

from connectors.chat_model import MAX_ANSWER_BYTES
from connectors.model_errors import error_for_status
from signalbox.errors import RetryableError

# JSON may write each byte of an answer as six (\u00e4), and there is an envelope around it.
MAX_BODY_BYTES: Final = 8 * MAX_ANSWER_BYTES
_SHOWN_BODY_BYTES: Final = 2048
_SPARE_CONNECTIONS: Final = 16


class BoundedTransport(httpx.AsyncBaseTransport):
    """Raises `RetryableError` and `TerminalError` itself; httpx passes them through."""

    def __init__(self, model: str, *, max_in_flight: int) -> None:
        """Allow `max_in_flight` connections and some for those just being closed."""
        self._model = model
        connections = max_in_flight + _SPARE_CONNECTIONS
        self._inner = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=30.0,
            )
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; the response's body stops at `MAX_BODY_BYTES`.

        Raises:
            RetryableError, TerminalError: the server refused.
        """
        # What is bounded is what comes over the wire, so it must not be compressed.
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        if response.status_code < 300:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _BoundedStream(response.stream, self._model)
            return response
        body = await _first_bytes(response)
        raise error_for_status(
            self._model,
            response.status_code,
            retry_after=response.headers.get("retry-after"),
            body=body.decode("utf-8", "replace"),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, model: str) -> None:
        self._inner = inner
        self._model = model

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise oversized(self._model)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def oversized(model: str) -> RetryableError:
    """Return the error for a body beyond `MAX_BODY_BYTES`."""
    return RetryableError(
        f"{model} answered with more than {MAX_BODY_BYTES} bytes; the connection was closed"
    )


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
