"""What a page's form sends, as fields."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from signalbox.gateway.body import read_body
from signalbox.gateway.problems import RequestError
from signalbox.topics import MAX_ADMITTED_BYTES

MAX_FIELDS: Final = 100
MAX_FORM_BYTES: Final = 3 * MAX_ADMITTED_BYTES
"""A byte may be written as three."""


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, without those left empty; of several of one name the last.

    Raises:
        RequestError: too many fields, or not UTF-8; and what `read_body` raises.
    """
    body = await read_body(request, MAX_FORM_BYTES, taken="form")
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        msg = f"the form cannot be read: {error!s:.100}"
        raise RequestError(msg, "send it as the page does") from None
    return {name: text for name, value in pairs if (text := value.strip())}
