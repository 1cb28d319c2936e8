"""Who calls, and what they may do: by key, or without one from this machine where the settings allow it.

A browser on this machine is this machine too, so without a key a page of another site is refused: by its `Origin`, and by a
`Host` that a public name could have been pointed at us with (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from starlette.requests import Request

from signalbox.errors import SignalboxError
from signalbox.gateway.keys import KeyRing, Scope
from signalbox.gateway.problems import ForbiddenError, NoKeyError

Keyless = Literal["loopback", "anyone", "never"]
ALL_SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
CALLER: Final = "signalbox.caller"
HEADERS: Final = "signalbox.headers"
"""Where the guard leaves the caller and the headers (by lower-case name) of a request in its scope."""
COOKIE: Final = "signalbox_key"
"""What a browser sends the key by that somebody signed in with; no script can read it."""
_FORWARDED: Final = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
_OTHER_SITES: Final = ("cross-site", "same-site")
"""What a browser says of a page that is not the gateway's; another port of this machine is the same site."""
_HOW: Final = "send `Authorization: Bearer KEY`; `signalbox keys create NAME --scope …` makes one"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from. `name` is the key's, or the address where there was none (`has_key` says which)."""

    name: str
    scopes: frozenset[Scope]
    has_key: bool


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call: `keys` by name, and who needs none."""

    keys: KeyRing
    keyless: Keyless

    def caller(self, address: str, headers: Mapping[str, str]) -> Caller:
        """Return who calls.

        Args:
            address: where the connection comes from.
            headers: of the request.

        Raises:
            NoKeyError: a key is needed and there is none, or it is not known.
            ForbiddenError: a page of another site asks.
        """
        key = _key_in(headers)
        if key is not None:
            return self.holder(key)
        kept = cookie_in(headers)
        # One that is not known any more, or another gateway's, is as none: whoever needs none goes on.
        if kept is not None and self.keys.find(kept) is not None:
            # A browser sends it whoever's page asks.
            refuse_foreign_origin(headers)
            return self.holder(kept)
        if not self._may_go_without(address, headers):
            msg = "the request has no API key"
            raise NoKeyError(msg, _HOW)
        refuse_foreign_pages(headers)
        return Caller(address, ALL_SCOPES, has_key=False)

    def holder(self, key: str) -> Caller:
        """Return whose key it is.

        Raises:
            NoKeyError: nobody's.
        """
        found = self.keys.find(key)
        if found is None:
            msg = "the API key is not known"
            raise NoKeyError(msg, _HOW)
        return Caller(found.name, found.scopes, has_key=True)

    def _may_go_without(self, address: str, headers: Mapping[str, str]) -> bool:
        if self.keyless == "anyone":
            return True
        # Behind a proxy on this machine everybody comes from this machine.
        is_forwarded = any(name in headers for name in _FORWARDED)
        return self.keyless == "loopback" and not is_forwarded and is_loopback(address)


def needs(scope: Scope, request: Request) -> Caller:
    """Return the caller of a request that needs `scope`.

    Raises:
        ForbiddenError: the key does not have it.
    """
    caller: Caller = request.scope[CALLER]
    if scope not in caller.scopes:
        msg = f"key {caller.name!r} lacks the scope {scope!r}; it has {', '.join(sorted(caller.scopes))}"
        raise ForbiddenError(msg, f"use a key that was made with --scope {scope}")
    return caller


def still(scope: Scope, request: Request, access: Access) -> bool:
    """Say whether a request's caller would be let in now with `scope`: its key may have been revoked since it came in."""
    try:
        return scope in access.caller(address_of(request.scope), headers_of(request)).scopes
    except SignalboxError:
        return False


def address_of(scope: Mapping[str, Any]) -> str:
    """Return where a request's connection comes from; empty where the server does not know."""
    client = scope.get("client")
    return client[0] if client else ""


def headers_of(request: Request) -> Mapping[str, str]:
    """Return a request's headers by lower-case name; of several of one name the last."""
    found: Mapping[str, str] = request.scope[HEADERS]
    return found


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def refuse_foreign_pages(headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends for a page of another site.

    Raises:
        ForbiddenError: it is from one.
    """
    host = headers.get("host", "")
    if _is_public(host):
        msg = f"host {host!r:.80} is a public name, and the request has no API key"
        raise ForbiddenError(msg, "call it by its address or localhost, or use a key")
    refuse_foreign_origin(headers)


def refuse_foreign_origin(headers: Mapping[str, str]) -> None:
    """Refuse what says that it comes from a page of another site.

    Raises:
        ForbiddenError: it does.
    """
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != headers.get("host", ""):
        msg = f"a page of {origin!r:.80} asks, and the request has no API key of its own"
        raise ForbiddenError(msg, "ask from a page of the gateway, or send a key")
    # A picture or a stream that a page asks for has no Origin, and takes a place all the same. A link that is followed may.
    site = headers.get("sec-fetch-site")
    if site in _OTHER_SITES and headers.get("sec-fetch-dest") != "document":
        msg = f"a page of another site asks (Sec-Fetch-Site: {site}), and the request has no API key of its own"
        raise ForbiddenError(msg, "open the page of the gateway itself, or send a key")


@lru_cache(maxsize=1024)
def _is_public(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # no name at all, so none of ours
        return True
    if "." not in name or name.endswith(".localhost"):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def cookie_in(headers: Mapping[str, str]) -> str | None:
    """Return the key that a browser keeps since somebody signed in."""
    for one in headers.get("cookie", "").split(";"):
        name, _, value = one.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None


def _key_in(headers: Mapping[str, str]) -> str | None:
    given = headers.get("authorization")
    if given is None:
        return headers.get("x-api-key")
    kind, _, key = given.partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        msg = "the Authorization header is no bearer token"
        raise NoKeyError(msg, _HOW)
    return key.strip()
