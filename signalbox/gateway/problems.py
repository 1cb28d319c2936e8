"""What a request is answered with when it cannot be done: problem+json (RFC 9457) with a code of ours and the remedy."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import orjson
from starlette.responses import Response

from connectors.broker import BrokerError
from signalbox.errors import ConfigurationError, DefinitionError, SignalboxError, UsageError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1
"""What a client is told to wait where nobody knows better."""


class GatewayError(SignalboxError):
    """A request that cannot be done. `status` is the HTTP status; `remedy` is the next step; `more` are further members."""

    code: ClassVar[str] = "SB-100"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be done"

    def __init__(
        self,
        detail: str,
        remedy: str,
        *,
        retry_after_seconds: float | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{detail}; {remedy}")
        self.detail = detail
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds
        self.more = more


class RequestError(GatewayError):
    """What was sent is not what is taken: not JSON, no envelope, a wrong value. `reason` is the job's word for it, if any."""

    code = "SB-101"
    status = 422
    title = "The request is not valid"


class TooLargeError(GatewayError):
    """The body has more bytes than are admitted."""

    code = "SB-102"
    status = 413
    title = "The body is too large"


class MediaTypeError(GatewayError):
    """The body's type or encoding is not taken."""

    code = "SB-103"
    status = 415
    title = "The media type is not supported"


class TooManyRequestsError(GatewayError):
    """The caller sends faster than it may, or more is waiting for the broker than is kept."""

    code = "SB-104"
    status = 429
    title = "Too many requests"


class NoKeyError(GatewayError):
    """No API key, or one that is not known."""

    code = "SB-105"
    status = 401
    title = "An API key is needed"


class ForbiddenError(GatewayError):
    """The key lacks the scope, or a page of another site asks."""

    code = "SB-106"
    status = 403
    title = "Not allowed"


class NotFoundError(GatewayError):
    """Nothing of this name is known."""

    code = "SB-107"
    status = 404
    title = "Not found"


class ConflictError(GatewayError):
    """It is in no state in which this can be done."""

    code = "SB-108"
    status = 409
    title = "Not possible any more"


class NoOutcomeError(GatewayError):
    """The time is over before the outcome came. The conversation goes on."""

    code = "SB-109"
    status = 504
    title = "No outcome yet"


class SlowBodyError(GatewayError):
    """The body did not come in time."""

    code = "SB-110"
    status = 408
    title = "The body did not come"


def problem_of(error: Exception) -> Response:
    """Return the answer for an error; what is not on purpose is a 500 that tells nothing of the inside."""
    if isinstance(error, GatewayError):
        more = {"detail": error.detail, "remedy": error.remedy, **error.more}
        return problem(
            error.status,
            error.code,
            error.title,
            retry_after_seconds=error.retry_after_seconds,
            **more,
        )
    if isinstance(error, BrokerError):
        return problem(
            503,
            error.code,
            "The broker is away",
            retry_after_seconds=RETRY_SECONDS,
            detail=str(error),
            remedy="nothing was acknowledged; send it again under the same id, it is taken once",
        )
    if isinstance(error, UsageError | DefinitionError):
        return problem(
            422,
            error.code,
            "The request is not valid",
            detail=str(error),
            remedy="mend what is named",
        )
    if isinstance(error, SignalboxError):
        retry_after = RETRY_SECONDS
        is_ours = isinstance(error, ConfigurationError)
        status = 500 if is_ours else 503
        return problem(
            status,
            error.code,
            "It cannot be done now",
            retry_after_seconds=retry_after if status == 503 else None,
            # It names files of this machine; the log has it.
            detail="the gateway's settings cannot be used" if is_ours else str(error),
            remedy="`signalbox status` and `signalbox doctor` say what is wrong",
        )
    return problem(
        500,
        SignalboxError.code,
        "An error of the gateway",
        detail="the request met a mistake of ours",
        remedy="the gateway's log has it; report it with what was sent",
    )


def problem(
    status: int, code: str, title: str, *, retry_after_seconds: float | None = None, **more: Any
) -> Response:
    """Return one problem+json answer."""
    headers = {}
    if retry_after_seconds is not None:
        # Whole seconds, and never "at once".
        headers["retry-after"] = str(max(1, round(retry_after_seconds)))
    if status == NoKeyError.status:
        headers["www-authenticate"] = 'Bearer realm="signalbox"'
    body = {"type": f"urn:signalbox:{code}", "title": title, "status": status, "code": code, **more}
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)
