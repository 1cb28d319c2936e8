"""What every page shares: the templates, the policy that it is served with, and errors for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from signalbox import __version__
from signalbox.cli.moments import duration
from signalbox.contracts.record import from_epoch_ms
from signalbox.gateway.access import CALLER
from signalbox.gateway.pages.assets import asset_url
from signalbox.gateway.problems import GatewayError, NoKeyError

PREFIX: Final = "/ui"
LOGIN: Final = f"{PREFIX}/login"
HOME: Final = f"{PREFIX}/live"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing runs that is not a file of ours: a script in a lead's text stays text, whatever a template forgot."""
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}
MAX_PLACE_CHARS: Final = 2000
"""Of an address to come back to."""
_KEPT: Final = ("allow", "retry-after")
NAVIGATION: Final = (
    ("live", "Live"),
    ("flow", "Flow"),
    ("conversations", "Conversations"),
    ("inbox", "Inbox"),
    ("dead-letters", "Dead letters"),
    ("agents", "Agents"),
    ("lead", "New lead"),
)


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """Return a page, or a part of one, as HTML.

    Args:
        request: whom it is for; what its caller may do, the template knows as `scopes`.
        template: in `templates/`, without `.html.jinja`.
        status: of the answer.
        headers: besides those that every page has.
        context: what the template names.
    """
    caller = request.scope.get(CALLER)
    body = _ENVIRONMENT.get_template(f"{template}.html.jinja").render(
        here=request.url.path,
        navigation=NAVIGATION,
        prefix=PREFIX,
        scopes=caller.scopes if caller else frozenset(),
        version=__version__,
        **context,
    )
    return HTMLResponse(body, status, {**_HEADERS, **(headers or {})})


def render_part(request: Request, template: str, title: str, **context: Any) -> Response:
    """Return a part of a page; as a page of its own under `title` where no script asks, which would put it in its place."""
    if is_part(request):
        return render(request, template, **context)
    return render(request, "said", title=title, part=f"{template}.html.jinja", **context)


def shown(problem: Response, scope: Scope) -> Response:
    """Return a problem as whoever asked for it can read it: a program as it is, a person as a page or a part of one."""
    if not is_page(scope["path"]):
        return problem
    request = Request(scope)
    if problem.status_code == NoKeyError.status:
        place = f"{LOGIN}?to={quote(_asked_from(request), safe='/')}"
        if is_part(request):
            # htmx would follow a redirect inside the page.
            return Response(status_code=problem.status_code, headers={"hx-redirect": place})
        return RedirectResponse(place, 303)
    kept = {name: problem.headers[name] for name in _KEPT if name in problem.headers}
    return render(
        request,
        "problem" if is_part(request) else "error",
        status=problem.status_code,
        headers=kept,
        problem=_for_people(request, orjson.loads(problem.body)),
    )


def _for_people(request: Request, problem: dict[str, Any]) -> dict[str, Any]:
    """Return a problem in the words of pages: they have no paths, methods and ids to send something under."""
    if problem["code"] == GatewayError.code:
        # The framework's: no such path, or no such method.
        detail = "there is no such page, or it takes nothing that is sent so"
        return {**problem, "detail": detail, "remedy": "the links above lead to every page"}
    if request.method != "POST" or problem["status"] != HTTPStatus.SERVICE_UNAVAILABLE:
        return problem
    how = (
        "what you typed is still there: send it again in a moment"
        if is_part(request)
        # Back at the form it would be another message.
        else "load this page again in a moment, which sends the same once more"
    )
    return {**problem, "remedy": f"nothing was acknowledged; {how}; it counts once"}


def _asked_from(request: Request) -> str:
    """Return the page to come back to after signing in, as an address: of a part or of a form the one that it is on."""
    if request.method == "GET" and not is_part(request):
        query = request.scope["query_string"].decode("latin-1")
        # As it came: decoded, an id with a question mark would be another page.
        path = request.scope["raw_path"].decode("latin-1")
    else:
        path, query = _page_around(request)
    place = f"{path}?{query}" if query else path
    return place if is_page(path) and len(place) <= MAX_PLACE_CHARS else HOME


def _page_around(request: Request) -> tuple[str, str]:
    headers = request.headers
    try:
        page = urlsplit(headers.get("hx-current-url") or headers.get("referer") or "")
    except ValueError:
        return HOME, ""
    return page.path, page.query


def is_part(request: Request) -> bool:
    """Say whether a page asks for a part of itself."""
    return "hx-request" in request.headers


def is_page(path: str) -> bool:
    """Say whether a path is a page's, not the API's."""
    return path in {"/", PREFIX} or path.startswith(f"{PREFIX}/")


def clock(value: datetime | str) -> str:
    """Write the time of a moment, UTC, to the millisecond."""
    return _moment(value).strftime("%H:%M:%S.%f")[:-3]


def day_and_clock(value: datetime | str) -> str:
    """Write day and time of a moment, UTC, to the second."""
    return _moment(value).strftime("%Y-%m-%d %H:%M:%S")


def pretty(value: Any) -> str:
    """Write data as JSON that a person reads."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    except orjson.JSONEncodeError:
        # A number beyond 64 bits in somebody's data.
        return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def path_of(identifier: str) -> str:
    """Write an id as one segment of a path."""
    return quote(identifier, safe="")


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that say something."""
    return {name: value for name, value in values.items() if value}


def _moment(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=clock,
        day_and_clock=day_and_clock,
        duration=duration,
        from_epoch_ms=from_epoch_ms,
        pretty=pretty,
        path=path_of,
        without_empty=without_empty,
    )
    environment.globals.update(asset=asset_url)
    return environment


_ENVIRONMENT: Final = _environment()
