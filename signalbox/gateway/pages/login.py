"""Signing in: a browser keeps an API key in a cookie that no script can read and that no other site's page can use."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from signalbox.gateway.access import COOKIE, headers_of, refuse_foreign_origin
from signalbox.gateway.pages.forms import read_form
from signalbox.gateway.pages.site import HOME, LOGIN, MAX_PLACE_CHARS, is_page, render
from signalbox.gateway.parts import parts_of
from signalbox.gateway.problems import NoKeyError

router: Final = APIRouter(include_in_schema=False)
_KEPT_SECONDS: Final = 30 * 24 * 60 * 60


@router.get(LOGIN)
async def get_login(
    request: Request, to: Annotated[str, Query(max_length=MAX_PLACE_CHARS)] = HOME
) -> Response:
    """Show the form that asks for a key."""
    return render(request, "login", to=_place(to), trouble=None)


@router.post(LOGIN)
async def post_login(request: Request) -> Response:
    """Keep the key in the browser, and go where it was asked for; without a key, forget the one that it keeps."""
    refuse_foreign_origin(headers_of(request))
    fields = await read_form(request)
    to = _place(fields.get("to", HOME))
    key = fields.get("key")
    if key is None:
        forgotten = RedirectResponse(to, 303)
        forgotten.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return forgotten
    try:
        parts_of(request).access.holder(key)
    except NoKeyError as error:
        return render(request, "login", status=error.status, to=to, trouble=error.detail)
    # Behind a proxy the connection says nothing of how the browser came; the browser does.
    origin = headers_of(request).get("origin", "")
    is_https = request.url.scheme == "https" or origin.startswith("https:")
    answer = RedirectResponse(to, 303)
    answer.set_cookie(
        COOKIE,
        key,
        max_age=_KEPT_SECONDS,
        httponly=True,
        samesite="strict",
        secure=is_https,
    )
    return answer


def _place(to: str) -> str:
    """Return a place of ours: `//elsewhere` would be another site's."""
    return to if is_page(to) and not to.startswith("//") else HOME
