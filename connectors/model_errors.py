"""What a model server's refusal means: try again later, or never. One reading of HTTP for every provider."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime
from typing import Final

from signalbox.errors import ImagesRefusedError, RetryableError, TerminalError

# 408 and 409 are the server's own trouble, 425 and 429 its wish to be asked later.
_RETRYABLE_STATUSES: Final = frozenset({408, 409, 425, 429})
# The server has read the request and does not take it: as it is written, or as long as it is.
_REFUSED_STATUSES: Final = frozenset({400, 413, 415, 422})
# llama.cpp's server says with 500 that its model takes no pictures (ggml-org/llama.cpp#15377, #12947).
_NO_PICTURES: Final = re.compile(r"image input is not supported|Unsupported content part type")
_LONGEST_RETRY_AFTER_SECONDS: Final = 600.0
_SHOWN_BODY_CHARS: Final = 200


class RequestRefusedError(TerminalError):
    """The server does not take what is in this request; without a picture it may take the rest."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="model_failed")


def pictures_refused(model: str, error: RequestRefusedError) -> ImagesRefusedError:
    """Return what a refusal means where the request had a picture in it."""
    return ImagesRefusedError(
        f"{error}; there is a picture in it: name a model that sees in SIGNALBOX_MODEL__NAME, if {model} does not"
    )


def error_for_status(
    model: str, status: int, *, retry_after: str | None, body: str
) -> RetryableError | TerminalError:
    """Return the error for an HTTP answer that is none.

    Args:
        model: the model's name, for the message.
        status: the HTTP status.
        retry_after: the `Retry-After` header, seconds or an HTTP date.
        body: what the server said; cut in the message.
    """
    said = " ".join(body.split())[:_SHOWN_BODY_CHARS]
    msg = f"{model} answered HTTP {status}" + (f": {said}" if said else "")
    if status in _REFUSED_STATUSES or (status >= 500 and _NO_PICTURES.search(body)):
        return RequestRefusedError(f"{msg}; the same request would be refused again")
    if status in _RETRYABLE_STATUSES or status >= 500:
        return RetryableError(msg, retry_after_seconds=retry_after_seconds(retry_after))
    return TerminalError(f"{msg}; {_advice(status)}", reason="model_failed")


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date; None where it is absent or nonsense; at most ten minutes.

    Source: RFC 9110 §10.2.3.
    Time: reads the wall clock for a date, unless `now` is given.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    if seconds != seconds:  # noqa: PLR0124 - NaN, the one float that differs from itself
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def _advice(status: int) -> str:
    if status in (401, 403):
        return "check SIGNALBOX_MODEL__API_KEY"
    if status == 404:
        return "check SIGNALBOX_MODEL__NAME and SIGNALBOX_MODEL__BASE_URL"
    return "the same request would be refused again"
