"""Reads pages and pictures of public websites, without ever opening a connection to an address that is not public.

A lead or a request names the website, so the address is an attacker's to choose: a name is resolved once, every address it has must
be public, and the connection goes to that very address, with the name kept for Host, SNI and the certificate. Each
redirect is looked at like the first address. No proxy of the environment, no credentials, no other port than 80 and 443.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import ClassVar, Final

import httpx

from connectors.website_text import WebsiteText, text_of
from signalbox.errors import SignalboxError
from signalbox.settings import WebsiteSettings

PORTS: Final = frozenset({80, 443})
READABLE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml", "text/plain"})
IMAGE_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
MAX_URL_CHARS: Final = 500

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes host and port, returns all addresses as text; raises OSError where there is none."""

_NAT64: Final = ip_network("64:ff9b::/96")
_HEADERS: Final = {
    "User-Agent": "Signalbox",
    # A few compressed bytes may become gigabytes.
    "Accept-Encoding": "identity",
}


class WebsiteError(SignalboxError):
    """A website was not read; the message says why, in a way that may stand in a report."""

    code: ClassVar[str] = "SB-080"


@dataclass(frozen=True, slots=True)
class WebsitePage:
    """What was read, and where after redirects. Written by strangers: quote it, never obey it."""

    url: str
    text: WebsiteText


@dataclass(frozen=True, slots=True)
class WebsiteImage:
    """A picture's file as it came, and where it was after redirects. What it is, its bytes say."""

    url: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, and how much of it at most."""

    what: str
    accept: str
    types: frozenset[str]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Fetched:
    url: str
    kind: str
    charset: str | None
    body: bytes


class WebsiteReader:
    """Reads one page or picture a call.

    Args:
        settings: bounds of time, bytes and redirects.
        resolve: how a name becomes addresses.
        is_allowed: which addresses may be connected to; tests allow their own machine.
        ports: which ports.
    """

    def __init__(
        self,
        settings: WebsiteSettings,
        *,
        resolve: Resolve | None = None,
        is_allowed: Callable[[Address], bool] | None = None,
        ports: frozenset[int] | None = PORTS,
        verify: object = True,
    ) -> None:
        self._settings = settings
        self._resolve = resolve or _resolve
        self._is_allowed = is_allowed or is_public
        self._ports = ports
        self._verify = verify

    async def read(self, website: str) -> WebsitePage:
        """Read the page at `website` (with or without a scheme; http and https only).

        Time: all of it, names and redirects included, ends within `settings.timeout_seconds`.

        Raises:
            WebsiteError: not public, not there, not text, too long, too slow.
        """
        wanted = _Wanted(
            "a page", "text/html, text/plain;q=0.5", READABLE_TYPES, self._settings.max_bytes
        )
        found = await self._fetch(website, wanted)
        is_html = found.kind != "text/plain"
        return WebsitePage(found.url, text_of(found.body, found.charset, is_html=is_html))

    async def read_image(self, url: str, *, max_bytes: int) -> WebsiteImage:
        """Read the picture at `url`; for it everything holds that holds for a page.

        Raises:
            WebsiteError: not public, not there, not said to be a picture, more than `max_bytes`, too slow.
        """
        types = sorted(IMAGE_TYPES)
        wanted = _Wanted("a picture", ", ".join(types), IMAGE_TYPES, max_bytes)
        found = await self._fetch(url, wanted)
        return WebsiteImage(found.url, found.body)

    async def _fetch(self, website: str, wanted: _Wanted) -> _Fetched:
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._read(_url(website), wanted)
        except TimeoutError:
            msg = f"no answer within {seconds:g} s"
            raise WebsiteError(msg) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            msg = f"not readable ({type(error).__name__})"
            raise WebsiteError(msg) from error

    async def _read(self, url: httpx.URL, wanted: _Wanted) -> _Fetched:
        # A client for one visit, without cookies from another one; nothing of the environment: no proxy, no netrc.
        async with httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            verify=self._verify,  # type: ignore[arg-type]  # a context in tests
            timeout=self._settings.timeout_seconds,
            headers={**_HEADERS, "Accept": wanted.accept},
        ) as client:
            for _ in range(self._settings.max_redirects + 1):
                found = await self._visit(client, url, wanted)
                if isinstance(found, _Fetched):
                    return found
                url = found
        msg = f"more than {self._settings.max_redirects} redirects"
        raise WebsiteError(msg)

    async def _visit(
        self, client: httpx.AsyncClient, url: httpx.URL, wanted: _Wanted
    ) -> _Fetched | httpx.URL:
        address = await self._address(url)
        request = client.build_request(
            "GET",
            url.copy_with(host=str(address)),
            headers={"Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host},
        )
        response = await client.send(request, stream=True)
        try:
            client.cookies.clear()
            if response.has_redirect_location:
                return _checked(url.join(response.headers["Location"]), self._ports)
            kind, body = await _taken(response, wanted)
            return _Fetched(str(url), kind, response.charset_encoding, body)
        finally:
            await response.aclose()

    async def _address(self, url: httpx.URL) -> Address:
        """Resolve once. All addresses must be allowed: one that is not says that the name plays games."""
        _checked(url, self._ports)
        port = url.port or (443 if url.scheme == "https" else 80)
        found = [ip_address(text.partition("%")[0]) for text in await self._resolve(url.host, port)]
        if not found:
            msg = f"{url.host} has no address"
            raise WebsiteError(msg)
        for address in found:
            if not self._is_allowed(address):
                msg = f"{url.host} is not a public address"
                raise WebsiteError(msg)
        return found[0]


async def _taken(response: httpx.Response, wanted: _Wanted) -> tuple[str, bytes]:
    """Return the kind and the body of what was wanted."""
    if response.status_code != 200:
        msg = f"answered {response.status_code}"
        raise WebsiteError(msg)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in wanted.types:
        msg = f"is {kind[:80] or 'of no stated type'}, not {wanted.what}"
        raise WebsiteError(msg)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        msg = "is compressed though that was not asked for"
        raise WebsiteError(msg)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > wanted.max_bytes:
            msg = f"longer than {wanted.max_bytes} bytes"
            raise WebsiteError(msg)
    return kind, bytes(body)


def is_public(address: Address) -> bool:
    """Say whether `address` is one of the public internet, also where it only wraps another one."""
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is None and address in _NAT64:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(wrapped)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _url(website: str) -> httpx.URL:
    text = website.strip()
    if len(text) > MAX_URL_CHARS:
        msg = f"an address of {len(text)} characters; at most {MAX_URL_CHARS}"
        raise WebsiteError(msg)
    return httpx.URL(text if "://" in text else f"https://{text}")


def _checked(url: httpx.URL, ports: frozenset[int] | None) -> httpx.URL:
    if url.scheme not in {"http", "https"}:
        msg = f"scheme {url.scheme[:20]!r}; only http and https are read"
        raise WebsiteError(msg)
    if url.userinfo:
        msg = "an address with a user name in it"
        raise WebsiteError(msg)
    if not url.host:
        msg = "an address without a host"
        raise WebsiteError(msg)
    if ports is not None and url.port is not None and url.port not in ports:
        msg = f"port {url.port}; only {', '.join(map(str, sorted(ports)))} are read"
        raise WebsiteError(msg)
    return url


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
