"""A request's body, read up to a limit: what is longer is not read to its end, what does not come is not waited for.

Bodies are parsed by this module and `intake`, never by the framework, which has no limit of length or depth.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from signalbox.gateway.access import headers_of
from signalbox.gateway.intake import object_in, too_large
from signalbox.gateway.problems import MediaTypeError, RequestError, SlowBodyError
from signalbox.topics import MAX_ADMITTED_BYTES

M = TypeVar("M", bound=BaseModel)
BODY_SECONDS: Final = 30.0
Taken = Literal["json", "yaml", "form"]
"""What a body may be; where YAML is taken, JSON is too."""
_TYPES: Final[dict[Taken, tuple[str, ...]]] = {
    "json": ("application/json",),
    "yaml": ("application/json", "application/yaml", "application/x-yaml", "text/yaml"),
    "form": ("application/x-www-form-urlencoded",),
}


async def read_body(request: Request, limit_bytes: int, *, taken: Taken = "json") -> bytes:
    """Return the body.

    Raises:
        MediaTypeError: it is not what is taken, or is compressed: what it unpacks to nobody knows before.
        TooLargeError: it is longer than `limit_bytes`.
        SlowBodyError: it did not come in time.
    """
    _refuse_type(request, taken)
    length = headers_of(request).get("content-length", "")
    if length.isdecimal() and int(length) > limit_bytes:
        raise too_large(int(length))
    try:
        # The first part is waited for as well: a client may send headers and nothing else.
        async with asyncio.timeout(BODY_SECONDS):
            body = await _all_of(request, limit_bytes)
    except TimeoutError:
        msg = f"the body did not come within {BODY_SECONDS:g} s"
        raise SlowBodyError(msg, "send it faster") from None
    if len(body) > limit_bytes:
        raise too_large(len(body))
    return body


async def read_model(request: Request, kind: type[M]) -> M:
    """Return the body as a model.

    Raises:
        RequestError: it is no JSON object, or a value is wrong; and what `read_body` raises.
    """
    fields = object_in(await read_body(request, MAX_ADMITTED_BYTES))
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        msg = f"{place}: {first['msg']}"
        raise RequestError(msg, "mend what is named") from None


def takes(kind: type[BaseModel]) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body that is read as `kind`."""
    schema = kind.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def _all_of(request: Request, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        if size > limit_bytes:
            raise too_large(None)
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse_type(request: Request, taken: Taken) -> None:
    headers = headers_of(request)
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        msg = f"content-encoding {encoding!r:.40} is not taken"
        raise MediaTypeError(msg, "send the body as it is")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    if kind in _TYPES[taken] or (is_json and taken != "form"):
        return
    # Also why a form on another site cannot send anything to the API: it has no such type.
    msg = f"content-type {kind!r:.80} is not taken"
    raise MediaTypeError(msg, f"send it with `Content-Type: {' or '.join(_TYPES[taken][:2])}`")
