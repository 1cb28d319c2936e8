"""The pages as HTML: what they show is text, whoever wrote it; who may see and do what; what a form sends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import httpx
import pytest

from signalbox.contracts.envelope import Envelope
from signalbox.gateway.access import COOKIE
from signalbox.gateway.keys import add_key
from signalbox.gateway.pages.assets import ASSETS
from signalbox.gateway.pages.dag import dag_of
from signalbox.gateway.parts import Parts
from tests.support.fleets import message
from tests.support.gateway import caught_up, client_of, parts
from tests.support.live_story import LiveStory, live
from tests.support.workflow_world import step, workflow

pytestmark = pytest.mark.anyio
AT = datetime(2026, 1, 2, tzinfo=UTC)
ELSEWHERE = "203.0.113.7"
SCRIPT = "<script>alert(1)</script>"
MAX_PAGE_BYTES = 300_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    """A workflow of two steps, the second after the first."""
    steps = [step("first"), step("second", needs=["first"])]
    answers = {"ann": lambda _: {"ok": 1}, "bob": lambda _: {"ok": 1}}
    return live(monkeypatch, [workflow(*steps)], answers)


@pytest.fixture
def made(story: LiveStory, tmp_path: Path) -> Parts:
    return parts(tmp_path, story.as_broker(), now=story.now)


@pytest.fixture
async def client(made: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(made) as here:
        yield here


@pytest.fixture
async def stranger(made: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on another machine."""
    async with client_of(made, address=ELSEWHERE) as there:
        yield there


def key(made: Parts, *scopes: str) -> str:
    return add_key(made.settings.home / "keys.json", "-".join(scopes), scopes, AT)


PATHS = (
    "flow",
    "conversations",
    "conversations/nobody",
    "lead",
    "inbox",
    "dead-letters",
    "agents",
    "agents/ann",
)


@pytest.mark.parametrize("path", [f"/ui/{one}" for one in PATHS])
async def test_a_page_loads_nothing_from_elsewhere(
    client: httpx.AsyncClient, made, story, path
) -> None:
    """Its policy allows scripts and styles of the gateway alone, and every file that it names is there and may be kept."""
    caught_up(made, story.broker)
    answer = await client.get(path)
    named = [part.split('"')[0] for part in answer.text.split('"/ui/static/')[1:]]
    files = [await client.get(f"/ui/static/{name}") for name in named]

    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert named
    assert {one.status_code for one in files} == {200}
    assert all("immutable" in one.headers["cache-control"] for one in files)
    assert not re.search(r'(?:src|href|action)="(?:[a-z]+:)?//', answer.text)
    assert len(answer.content) + sum(len(one.content) for one in files) < MAX_PAGE_BYTES


def test_every_script_and_style_is_named_with_what_is_in_it() -> None:
    """A changed file has another address, so a browser never mixes old and new."""
    assert {name: asset.url.startswith(f"/ui/static/{name}?v=") for name, asset in ASSETS.items()}
    assert len({asset.url.partition("=")[2] for asset in ASSETS.values()}) == len(ASSETS)


async def test_a_conversation_shows_each_hop_with_its_decision(client, made, story) -> None:
    """Messages, whom each went to and why, the workflow's steps drawn, and how it ended."""
    begun = {"ce-type": "work.asked", "ce-id": "w-1", "ce-subject": "c-1"}
    await client.post("/events", json={"n": 12}, headers=begun)
    caught_up(made, story.broker)
    shown = (await client.get("/ui/conversations/c-1")).text

    assert shown.count('<li class="entry') >= 4
    assert 'class="path is-workflow"' in shown
    assert shown.count('<g class="step is-done"') == 2
    assert ">completed</span>" in shown


async def test_what_somebody_wrote_is_text_everywhere(client, made, story) -> None:
    """A script in ids, a target and the data comes out escaped, in the list and on the conversation's page."""
    nasty = message(f"x-{SCRIPT}", {"n": SCRIPT}, conversation=f"c/{SCRIPT}", target=f"a{SCRIPT}")
    story.arrives(nasty, at=1)
    caught_up(made, story.broker)
    listed = await client.get("/ui/conversations")
    link = listed.text.split('href="/ui/conversations/')[1].split('"')[0]
    shown = await client.get(f"/ui/conversations/{unescape(link)}")

    for page in (listed.text, shown.text):
        assert SCRIPT not in page
    assert shown.text.count("&lt;script&gt;") >= 3


async def test_a_decision_is_explained_where_it_is_opened(client, made, story) -> None:
    """Candidates with what they violate, the reason, the budget; a decision that nobody knows is a 404 as a part of the page."""
    story.arrives(message("m-1", {"z": 1}, conversation="c-1", target="ann"), at=1)
    caught_up(made, story.broker)
    part = {"hx-request": "true"}
    known = await client.get(
        "/ui/decision", params={"message": "m-1", "slot": "target:0"}, headers=part
    )
    unknown = await client.get(
        "/ui/decision", params={"message": "m-1", "slot": "none"}, headers=part
    )

    assert "Budget left" in known.text
    assert "<html" not in known.text
    assert unknown.status_code == 404
    assert "load the page again" in unknown.text
    assert "<html" not in unknown.text


async def test_a_lead_typed_into_the_form_is_one_message(client, made, story) -> None:
    """With its fields and no others; sent twice it has the same id, so it is admitted once; the answer links to it."""
    form = (await client.get("/ui/lead")).text
    token = form.split('name="key" value="')[1].split('"')[0]
    typed = {"key": token, "name": " Ada ", "email": "a@b.example", "job_title": "", "evil": "1"}
    sent = [await client.post("/ui/lead", data=typed) for _ in range(2)]
    written = [Envelope.from_json(one.value or b"") for one in story.records("agent_messages")[-2:]]

    assert [one.status_code for one in sent] == [200, 200]
    assert written[0].type == "lead.submitted"
    assert written[0].data == {"lead": {"name": "Ada", "email": "a@b.example"}}
    assert written[0].id == written[1].id == token
    assert f'href="/ui/conversations/{written[0].subject}"' in sent[0].text


@pytest.mark.parametrize(
    "body", ["name=%ff", "&".join(f"f{n}=1" for n in range(200)), b"\xff\xfe".decode("latin-1")]
)
async def test_a_form_that_cannot_be_read_is_refused(client, body) -> None:
    """422 with a remedy, and nothing is sent."""
    answer = await client.post(
        "/ui/lead",
        content=body.encode("latin-1"),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )

    assert answer.status_code == 422
    assert "send it as the page does" in answer.text


async def test_a_stranger_is_asked_for_a_key_and_comes_back(made, stranger) -> None:
    """A page leads to the form; the key stays in a cookie that no script reads; then the page is there."""
    asked = await stranger.get("/ui/conversations")
    page = {"hx-request": "true", "hx-current-url": "http://localhost:8000/ui/conversations"}
    part = await stranger.get("/ui/conversations", headers=page)
    wrong = await stranger.post("/ui/login", data={"key": "sbx_wrong", "to": "/ui/lead"})
    right = await stranger.post("/ui/login", data={"key": key(made, "send"), "to": "/ui/lead"})
    shown = await stranger.get("/ui/lead")

    assert (asked.status_code, asked.headers["location"]) == (303, "/ui/login?to=/ui/conversations")
    assert (part.status_code, part.headers["hx-redirect"]) == (
        401,
        "/ui/login?to=/ui/conversations",
    )
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    assert (right.status_code, right.headers["location"]) == (303, "/ui/lead")
    assert {"httponly", "samesite=strict"} <= {
        one.strip().lower() for one in right.headers["set-cookie"].split(";")
    }
    assert shown.status_code == 200


HERE = "http://localhost:8000"


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("conversations?status=open", "conversations?status=open"),
        ("conversations/a%3Fb%2Fc%25d", "conversations/a%3Fb%2Fc%25d"),
        (f"conversations/{'%E2%98%83' * 256}", "live"),
    ],
)
async def test_after_signing_in_one_is_where_one_wanted_to_be(made, stranger, path, back) -> None:
    """With the query and any id, as the address had it; one that is too long is the first page instead."""
    asked = await stranger.get(f"/ui/{path}")
    form = await stranger.get(asked.headers["location"])
    to = unescape(form.text.split('name="to" value="')[1].split('"')[0])
    signed = await stranger.post("/ui/login", data={"key": key(made, "read"), "to": to})

    assert form.status_code == 200
    assert signed.headers["location"] == f"/ui/{back}"


@pytest.mark.parametrize(
    ("headers", "to"),
    [
        ({"referer": f"{HERE}/ui/dead-letters?reason=late"}, "/ui/dead-letters%3Freason%3Dlate"),
        ({"hx-request": "true", "hx-current-url": f"{HERE}/ui/inbox"}, "/ui/inbox"),
        ({"referer": "https://evil.example/x"}, "/ui/live"),
        ({"referer": "http://[/ui/inbox"}, "/ui/live"),
        ({}, "/ui/live"),
    ],
)
async def test_who_must_sign_in_to_act_comes_back_to_the_form(stranger, headers, to) -> None:
    """An address that only takes what a form sends is no page to come back to."""
    answer = await stranger.post("/ui/dead-letters/0:0/replay", headers=headers)
    place = answer.headers.get("location") or answer.headers["hx-redirect"]

    assert place == f"/ui/login?to={to}"


@pytest.mark.parametrize(("scheme", "is_secure"), [("https", True), ("http", False)])
async def test_behind_a_proxy_with_tls_the_cookie_stays_with_tls(
    made, stranger, scheme, is_secure
) -> None:
    """The gateway itself is asked without it; the page's origin says how the browser came."""
    origin = {"origin": f"{scheme}://localhost:8000"}
    signed = await stranger.post("/ui/login", data={"key": key(made, "read")}, headers=origin)
    words = {one.strip().lower() for one in signed.headers["set-cookie"].split(";")}

    assert ("secure" in words) == is_secure


async def test_a_key_without_the_scope_sees_why(made, stranger) -> None:
    """403 as a page that names the scope."""
    stranger.cookies.set(COOKIE, key(made, "send"))
    answer = await stranger.get("/ui/conversations")

    assert answer.status_code == 403
    assert "--scope read" in answer.text
    assert "<html" in answer.text


@pytest.mark.parametrize(
    "to", ["https://evil.example/", "//evil.example", "/ui/../x", "javascript:x"]
)
async def test_after_signing_in_nobody_is_sent_elsewhere(made, stranger, to) -> None:
    """A place that is no page of ours is the first page instead."""
    answer = await stranger.post("/ui/login", data={"key": key(made, "read"), "to": to})

    assert answer.headers["location"].startswith("/ui/")
    assert "//" not in answer.headers["location"]


async def test_another_sites_page_cannot_use_the_cookie(made, stranger) -> None:
    """A form on another site is refused, with the cookie and at the sign-in."""
    stranger.cookies.set(COOKIE, key(made, "send"))
    origin = {"origin": "https://evil.example"}
    sent = await stranger.post("/ui/lead", data={"name": "x"}, headers=origin)
    signed = await stranger.post("/ui/login", data={"key": "x"}, headers=origin)

    assert (sent.status_code, signed.status_code) == (403, 403)


async def test_a_cookie_that_is_no_key_any_more_is_as_none(client) -> None:
    """On this machine, where nobody needs one, the page is shown."""
    client.cookies.set(COOKIE, "sbx_revoked")

    assert (await client.get("/ui/lead")).status_code == 200


def test_a_drawing_has_each_step_in_the_column_after_what_it_needs() -> None:
    """Two at once stand below each other; lines lead from what is needed."""
    steps = [
        {"id": "a", "needs": []},
        {"id": "b", "needs": ["a"]},
        {"id": "c", "needs": ["a"]},
        {"id": "d", "needs": ["b", "c"]},
    ]
    drawn = dag_of(steps)
    at = {box.step["id"]: (box.x, box.y) for box in drawn.boxes}

    assert at["a"][0] < at["b"][0] == at["c"][0] < at["d"][0]
    assert at["b"][1] < at["c"][1]
    assert len(drawn.lines) == 4
