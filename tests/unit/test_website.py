"""Reading a lead's website: what is public and a page is read; nothing else is ever connected to."""

from __future__ import annotations

import asyncio
import http.server
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from agents.sdr.lead_ingestion import enrich
from connectors.website import WebsiteError, WebsiteImage, WebsitePage, WebsiteReader, is_public
from connectors.website_text import text_of
from signalbox.settings import WebsiteSettings
from tests.support.tasks import context_of, task_of

PUBLIC = "93.184.215.14"
PAGE = """<html><head><title>Acme &amp; Co</title><meta name="Description" content="We make anvils.">
<script>var p = "<p>not this</p>";</script></head><body><p>First &lt;paragraph&gt;.</p>ignored<p>Second.</p></body></html>"""


class Site:
    """A web server on this machine. `answers` maps a path to (status, headers, body); it counts what connects."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.connections = 0
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self) -> None:
                site.connections += 1
                super().setup()

            def do_GET(self) -> None:
                site.seen.append((self.path, self.headers["Host"]))
                status, headers, body = site.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def serve(self) -> None:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def page(
        self,
        path: str,
        body: str | bytes = PAGE,
        kind: str = "text/html; charset=utf-8",
        **headers: str,
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.answers[path] = (
            200,
            {"Content-Type": kind, "Content-Length": str(len(data)), **headers},
            data,
        )

    def redirect(self, path: str, to: str) -> None:
        self.answers[path] = (302, {"Location": to, "Content-Length": "0"}, b"")


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server that counts connections: the canary."""
    made = Site()
    made.serve()
    yield made
    made.server.shutdown()
    made.server.server_close()


def resolver(*answers: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A name service that says one thing first and another then; the last for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def named(names: dict[str, str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A name service that knows `names`, and otherwise takes the name for an address."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [names.get(host, host)]

    return resolve


def local(**settings: Any) -> WebsiteReader:
    """A reader that may read this machine, for pages that are read; names are all this machine's."""
    return WebsiteReader(
        WebsiteSettings(**settings),
        resolve=resolver(["127.0.0.1"]),
        is_allowed=lambda address: True,
        ports=None,
    )


def read(reader: WebsiteReader, website: str) -> WebsitePage:
    return asyncio.run(reader.read(website))


def test_page_is_read_as_title_description_and_text(site: Site) -> None:
    """What a page says about itself, with the name in Host and nothing of its scripts."""
    site.page("/")

    page = read(local(), f"http://acme.example:{site.port}/")

    assert (page.text.title, page.text.description) == ("Acme & Co", "We make anvils.")
    assert page.text.text == "First <paragraph>. Second."
    assert site.seen == [("/", f"acme.example:{site.port}")]


def picture(reader: WebsiteReader, url: str, max_bytes: int = 1000) -> WebsiteImage:
    return asyncio.run(reader.read_image(url, max_bytes=max_bytes))


def test_picture_is_read_as_it_is_over_redirects(site: Site) -> None:
    """The bytes are those that the site has, the address is where they were at last."""
    site.redirect("/logo", "/logo.png")
    site.page("/logo.png", b"\x89PNG\r\n\x1a\n\x00\xff", "image/png")

    found = picture(local(), f"http://acme.example:{site.port}/logo")

    assert found.data == b"\x89PNG\r\n\x1a\n\x00\xff"
    assert found.url.endswith(f":{site.port}/logo.png")


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("text/html", b"<p>", "is text/html, not a picture"),
        ("image/svg+xml", b"<svg/>", "is image/svg\\+xml, not a picture"),
        ("", b"GIF89a", "no stated type"),
        ("image/png", b"x" * 1001, "longer than 1000 bytes"),
    ],
)
def test_picture_of_another_kind_or_size_is_refused(
    site: Site, kind: str, body: bytes, said: str
) -> None:
    """Only the four kinds are taken, and only as many bytes as were asked for, whatever pages may have."""
    site.page("/x", body, kind)

    with pytest.raises(WebsiteError, match=said):
        picture(local(), f"http://acme.example:{site.port}/x")


def test_picture_that_leads_to_a_private_address_gets_no_connection(site: Site) -> None:
    """A redirect inside is looked at like the first address, for pictures as for pages."""
    site.redirect("/x", "http://10.0.0.1/x.png")
    reader = WebsiteReader(
        WebsiteSettings(),
        resolve=named({"acme.example": "127.0.0.1"}),
        is_allowed=lambda address: str(address) == "127.0.0.1",
        ports=None,
    )

    with pytest.raises(WebsiteError, match="not a public address"):
        picture(reader, f"http://acme.example:{site.port}/x")
    assert site.connections == 1


def test_page_over_tls_is_checked_against_the_name(site: Site) -> None:
    """The connection goes to an address, the certificate must be the name's; another name is refused."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("acme.example").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    site.server.socket = server_side.wrap_socket(site.server.socket, server_side=True)
    site.page("/")

    def reader() -> WebsiteReader:
        return WebsiteReader(
            WebsiteSettings(), resolve=resolver(["127.0.0.1"]), is_allowed=lambda a: True, ports=None, verify=client_side
        )  # fmt: skip

    assert read(reader(), f"https://acme.example:{site.port}/").text.title == "Acme & Co"
    with pytest.raises(WebsiteError):
        read(reader(), f"https://other.example:{site.port}/")


# Addresses that resolve without a name service, so the real resolver answers them here.
PRIVATE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://0x7f.1:{port}/",
    "http://2130706433:{port}/", "http://017700000001:{port}/", "http://127.1:{port}/", "http://0.0.0.0:{port}/",
    "http://[::]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://100.64.0.1/", "http://[fe80::1]/",
    "http://[fc00::1]/", "http://224.0.0.1/", "http://255.255.255.255/", "http://[ff02::1]/",
]  # fmt: skip
MALFORMED = [
    "http://user@127.0.0.1:{port}/", "http://acme.example@127.0.0.1:{port}/", "http://user:secret@acme.example/",
    "file:///etc/passwd", "ftp://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/_x", "data://text/html,x",
    "javascript://127.0.0.1:{port}/", "http://", "http:///path", "http://127.0.0.1:{port}\\@acme.example/",
    "http://127.0.0.1:{port}#@acme.example/", "http://[", "http://a b/", "x" * 501, "http://acme.example:6379/",
    "http://acme.example\r\nHost: 127.0.0.1/", "//127.0.0.1:{port}/", "",
]  # fmt: skip


@pytest.mark.parametrize("ports", [None, frozenset({80, 443})], ids=["any-port", "web-ports"])
@pytest.mark.parametrize("website", PRIVATE + MALFORMED)
def test_address_that_is_not_public_gets_no_connection(
    site: Site, website: str, ports: frozenset[int] | None
) -> None:
    """Whatever spelling, the canary on loopback sees nothing; not for want of its port."""
    site.page("/")
    attempts: list[str] = []
    reader = WebsiteReader(WebsiteSettings(), ports=ports)
    with _connections_watched(attempts), pytest.raises(WebsiteError):
        read(reader, website.format(port=site.port))
    with _connections_watched(attempts), pytest.raises(WebsiteError):
        picture(reader, website.format(port=site.port))

    assert (attempts, site.connections) == ([], 0)


class _connections_watched:
    """Notes every connection that this process's loops try to open; lets none through."""

    def __init__(self, attempts: list[str]) -> None:
        self.attempts = attempts

    def __enter__(self) -> None:
        self.real = (
            asyncio.BaseEventLoop.sock_connect
            if hasattr(asyncio.BaseEventLoop, "sock_connect")
            else None
        )
        self.connect = socket.socket.connect

        attempts = self.attempts

        async def note(loop: Any, sock: socket.socket, address: Any) -> None:
            attempts.append(str(address))
            raise OSError("no connection in this test")

        import asyncio.selector_events as events

        self.events = events.BaseSelectorEventLoop.sock_connect
        events.BaseSelectorEventLoop.sock_connect = note  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        import asyncio.selector_events as events

        events.BaseSelectorEventLoop.sock_connect = self.events  # type: ignore[method-assign]


def test_watch_on_connections_sees_the_ones_that_are_opened() -> None:
    """The watch of the test above would notice: a public address is connected to, at that very address."""
    attempts: list[str] = []
    reader = WebsiteReader(WebsiteSettings(), resolve=resolver([PUBLIC]))
    with _connections_watched(attempts), pytest.raises(WebsiteError):
        read(reader, "http://acme.example/")

    assert attempts == [str((PUBLIC, 80))]


@pytest.mark.parametrize(
    "answers",
    [
        ([PUBLIC, "127.0.0.1"],),
        (["127.0.0.1", PUBLIC],),
        ([PUBLIC, "::1"],),
        (["fe80::1%lo"],),
        ([],),
    ],
    ids=str,
)
def test_name_with_one_private_address_gets_no_connection(answers: Any) -> None:
    """All addresses of a name must be public, not only the first."""
    attempts: list[str] = []
    reader = WebsiteReader(WebsiteSettings(), resolve=resolver(*answers))
    with _connections_watched(attempts), pytest.raises(WebsiteError):
        read(reader, "http://acme.example/")

    assert attempts == []


@pytest.mark.parametrize(
    ("website", "said"),
    [
        ("http://user@acme.example/", "a user name in it"),
        ("https://:secret@acme.example/", "a user name in it"),
        ("http://acme.example:8081/", "port 8081"),
        ("ftp://acme.example/", "only http and https"),
        ("x" * 501, "501 characters"),
    ],
)
def test_public_name_in_a_wrong_address_gets_no_connection(website: str, said: str) -> None:
    """Scheme, user name, port and length are judged before anything is resolved."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC]

    attempts: list[str] = []
    reader = WebsiteReader(WebsiteSettings(), resolve=resolve)
    with _connections_watched(attempts), pytest.raises(WebsiteError, match=said):
        read(reader, website)

    assert (asked, attempts) == ([], [])


def test_name_that_rebinds_is_asked_once_and_connected_to_what_was_checked(site: Site) -> None:
    """A name that is public when checked and loopback afterwards: the connection still goes to the public address."""
    attempts: list[str] = []
    reader = WebsiteReader(WebsiteSettings(), resolve=resolver([PUBLIC], ["127.0.0.1"]), ports=None)
    with _connections_watched(attempts), pytest.raises(WebsiteError):
        read(reader, f"http://acme.example:{site.port}/")

    assert attempts == [str((PUBLIC, site.port))]
    assert site.connections == 0


@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.1:{port}/secret", "http://localhost:{port}/secret", "//127.0.0.1:{port}/secret", "file:///etc/passwd",
     "http://169.254.169.254/", "http://u@front.example/", "gopher://127.0.0.1/"],
)  # fmt: skip
def test_redirect_is_checked_like_the_first_address(site: Site, to: str) -> None:
    """A public page that sends its reader inside is left alone there: the secret page is never asked for."""
    site.page("/secret")
    site.redirect("/", to.format(port=site.port))

    async def names(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2"] if host == "front.example" else ["127.0.0.1"]

    # The site listens on 127.0.0.1 only; a second one stands for the public page in front of it.
    front = Site.__new__(Site)
    Site.__init__(front)
    front.server.server_close()
    front.server.socket = socket.create_server(("127.0.0.2", 0))
    port = front.server.socket.getsockname()[1]
    front.answers = site.answers
    front.serve()
    reader = WebsiteReader(
        WebsiteSettings(),
        resolve=names,
        is_allowed=lambda a: a == ip_address("127.0.0.2"),
        ports=None,
    )
    try:
        with pytest.raises(WebsiteError):
            read(reader, f"http://front.example:{port}/")
    finally:
        front.server.shutdown()
        front.server.server_close()

    assert [path for path, _ in front.seen] == ["/"]
    assert site.connections == 0


def test_redirects_are_followed_up_to_a_number(site: Site) -> None:
    """A few are normal, a circle ends."""
    site.redirect("/1", "/2")
    site.redirect("/2", f"http://other.example:{site.port}/3")
    site.page("/3")
    site.redirect("/round", "/round")

    assert read(local(max_redirects=2), f"http://acme.example:{site.port}/1").url.endswith("/3")
    with pytest.raises(WebsiteError, match="more than 2 redirects"):
        read(local(max_redirects=2), f"http://acme.example:{site.port}/round")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/long", "longer than 1024 bytes"),
        ("/endless", "longer than 1024 bytes"),
        ("/pdf", "is application/pdf"),
        ("/none", "of no stated type"),
        ("/gzip", "compressed"),
        ("/missing", "answered 404"),
    ],
)
def test_answer_that_is_no_small_page_is_not_read(site: Site, path: str, said: str) -> None:
    """Size, type and encoding are bounded whatever the headers claim."""
    site.page("/long", "x" * 4000)
    site.answers["/endless"] = (200, {"Content-Type": "text/html"}, b"x" * 4000)
    site.page("/pdf", kind="application/pdf")
    site.answers["/none"] = (200, {}, b"x")
    site.page("/gzip", **{"Content-Encoding": "gzip"})

    with pytest.raises(WebsiteError, match=said):
        read(local(max_bytes=1024), f"http://acme.example:{site.port}{path}")


def test_server_that_drips_is_left_in_time() -> None:
    """Bytes that come one by one do not extend the time for the whole visit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not stopped.wait(0.05):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(WebsiteError, match=r"no answer within 0\.4 s"):
            read(local(timeout_seconds=0.4), f"http://acme.example:{listener.getsockname()[1]}/")
        stopped.set()


def test_proxy_of_the_environment_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve names itself; it sees nothing."""
    proxy = Site()
    proxy.serve()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    site.page("/")

    read(local(), f"http://acme.example:{site.port}/")
    proxy.server.shutdown()
    proxy.server.server_close()

    assert (proxy.connections, site.connections) == (0, 1)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"]
)
def test_public_addresses_are_public(address: str) -> None:
    """The rule lets the internet through."""
    assert is_public(ip_address(address))


@given(
    st.binary(max_size=2000),
    st.sampled_from([None, "utf-8", "latin-1", "nonsense", "punycode", "utf-16"]),
)
def test_any_bytes_become_bounded_printable_text(body: bytes, charset: str | None) -> None:
    """No page breaks the reader, and what it gives fits the report's schema."""
    found = text_of(b"<title>x" + body + b"<p>" + body, charset, is_html=True)

    for text, limit in ((found.title, 200), (found.description, 500), (found.text, 2000)):
        assert len(text) <= limit
        assert text == "" or text.isprintable()


LEAD = {
    "name": "Ada",
    "email": "ada@acme.example",
    "company_name": "Acme",
    "lead_source": "Webinar",
    "job_title": "CTO",
}


def enriched(website: str | None, reader: WebsiteReader | None, tmp_path: Any) -> dict[str, Any]:
    from dataclasses import replace

    context = replace(context_of(tmp_path), websites=reader)
    reply = asyncio.run(enrich(task_of({"lead": {**LEAD, "company_website": website}}), context))
    return dict(reply.data["report"])


def test_report_quotes_the_website_as_untrusted(site: Site, tmp_path: Any) -> None:
    """What was read stands beside the report, marked; the score's inputs are those of the form."""
    site.page("/")
    url = f"http://acme.example:{site.port}/"
    plain, read_too = enriched(url, None, tmp_path), enriched(url, local(), tmp_path)

    assert "website" not in plain
    assert read_too["source"] == "form and website"
    assert read_too["website"] == {
        "source": "website", "is_trusted": False, "url": url, "title": "Acme & Co",
        "description": "We make anvils.", "text": "First <paragraph>. Second.",
    }  # fmt: skip
    assert read_too["interest"] == plain["interest"]


@pytest.mark.parametrize("website", ["http://127.0.0.1:8081/", "n/a", "http://["])
def test_report_says_why_a_website_was_not_read(website: str, tmp_path: Any) -> None:
    """A trap or a typing error costs the lead nothing."""
    report = enriched(
        website, WebsiteReader(WebsiteSettings(), resolve=resolver(["127.0.0.1"])), tmp_path
    )

    assert report["source"] == "form"
    assert report["website"]["problem"]
    assert report["summary"].endswith("its website could not be read.")
