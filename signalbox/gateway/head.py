"""A request's head up to a limit: the parser has none, so one client could fill the memory with headers that never end."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024


class HeadTooLongError(Exception):
    """More bytes of headers than are taken."""


class BoundedHeadProtocol(HttpToolsProtocol):
    """HTTP/1.1 that answers 400 and closes once a head, or what stands behind a chunked body, is longer than the limit."""

    _is_in_head = False
    _header_bytes = 0
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what came from the client."""
        was_in_head = self._is_in_head
        super().data_received(data)
        # One header without an end is none yet, so bytes are counted too; those of whole parts only, because the first may
        # begin with the end of another request.
        if was_in_head and self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._is_in_head, self._header_bytes, self._head_bytes = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; what is raised here uvicorn answers with 400."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEAD_BYTES:
            raise HeadTooLongError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Count no bytes any more: a body has its own limit."""
        self._is_in_head = False
        super().on_headers_complete()
