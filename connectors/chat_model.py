"""The port to a chat model: one structured question, one answer, bounded in time and size.

The decision operator and prompt handlers talk to this Protocol only; providers are chosen by `connectors.models`.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError

MAX_ANSWER_BYTES: Final = 64 * 1024
"""An answer beyond this is refused: every schema bounds its strings, so a longer one is a model gone astray."""


@runtime_checkable
class ChatModel(Protocol):
    """A chat model. Safe to call concurrently on one event loop; `name` stands in every record it had a part in."""

    name: str

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Answer `request` once; no provider tries again, the caller's retry policy is the only one.

        Args:
            request: the question. Its text is unvalidated when it comes back: callers check it.
            timeout_seconds: after this the call is given up and its connection closed.

        Raises:
            RetryableError: timeout, no connection, 429 or 5xx, an empty, cut or oversized answer.
                `retry_after_seconds` where the server stated it.
            TerminalError: reason `model_failed`: the server refuses this request whenever it is sent (400, 401, 404 …).
            ImagesRefusedError: the request has pictures, and the model takes none. No model answers as if there were none.
            asyncio.CancelledError: as ever; the connection is closed.
        """
        ...

    async def close(self) -> None:
        """Close idle connections. Closing twice is harmless."""
        ...


def usable_text(text: str, *, is_cut: bool, model: str, max_tokens: int) -> str:
    """Return what a server answered, or refuse it where it was cut, is empty or too large.

    Raises:
        RetryableError: the answer cannot be used; another try may bring one.
    """
    if is_cut:
        msg = f"{model} ran into {max_tokens} tokens; raise SIGNALBOX_MODEL__MAX_TOKENS"
        raise RetryableError(msg)
    if not text:
        msg = f"{model} answered nothing"
        raise RetryableError(msg)
    return check_answer_size(text, model=model)


def check_answer_size(text: str, *, model: str) -> str:
    """Return `text`, or refuse what is beyond `MAX_ANSWER_BYTES` in UTF-8.

    Raises:
        RetryableError: the answer is too large.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_ANSWER_BYTES:
        msg = (
            f"{model} answered with {size} bytes; an answer has at most {MAX_ANSWER_BYTES}. "
            "Bound every string of the schema with maxLength"
        )
        raise RetryableError(msg)
    return text
