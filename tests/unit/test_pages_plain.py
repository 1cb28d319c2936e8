"""The pages without a mouse and without scripts: forms and links do by themselves what scripts make smoother."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import urldefrag, urlencode, urljoin

import httpx
import pytest

from connectors.broker import BrokerError, Producer
from signalbox.gateway.pages.site import NAVIGATION
from signalbox.gateway.parts import Parts
from tests.support.fleets import message
from tests.support.gateway import caught_up, client_of, parts
from tests.support.live_story import LiveStory, live
from tests.support.waiting import parked
from tests.support.workflow_world import step, workflow

pytestmark = pytest.mark.anyio
ASK = {"reason": "Charge {{ data.n }}?", "deadline_seconds": 86_400, "default": "approve"}
REVIEWED = {"below_confidence": 0.5, "deadline_seconds": 3600}
_VOID: Final = frozenset({"meta", "link", "img", "input", "br", "hr", "wbr"})
PAGES: Final = (
    "live",
    "lead",
    "conversations",
    "conversations/lead-1",
    "conversations/order-1",
    "conversations/c-1",
    "decision?message=m-1&slot=target:0",
    "inbox",
    "inbox/items/p-lead-1",
    "dead-letters",
    "dead-letters?reason=unknown_agent",
    "dead-letters/0:0",
    "agents",
    "agents/ann",
    "login",
    "nothing",
)


FORMS: Final[dict[str, dict[str, str]]] = {
    "lead": {"name": "Ada", "key": "lead-1"},
    "inbox/items/p-lead-1": {"agent": "bob"},
    "dead-letters/0:0/replay": {},
    "dead-letters/replay": {"reason": "unknown_agent"},
    "dead-letters/0:0/discard": {"note": "a test"},
}
QUOTES: Final = "\"'><img src=x onerror=alert(1)>\u202e</pre></title></textarea></option>"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    """A message and a workflow's step that wait for a person, a decision, and two dead letters."""
    answers = {"ann": lambda _: {"ok": 1}, "bob": lambda _: {"ok": 1}}
    told = live(monkeypatch, [workflow(step("charge", approve=ASK))], answers, review=REVIEWED)
    begun = message("m-order-1", {"n": 12}, conversation="order-1", type="work.asked")
    told.arrives(begun, at=100)
    told.at = 100
    parked(told, "lead-1")
    told.arrives(message("m-1", {"z": 1}, conversation="c-1", target="ann"), at=told.at)
    for number in range(2):
        told.at += 10
        told.arrives(message(f"d-{number}", {"z": 1}, target="nobody"), at=told.at)
    return told


@pytest.fixture
def made(story: LiveStory, tmp_path: Path) -> Parts:
    return parts(tmp_path, story.as_broker(), now=story.now)


@pytest.fixture
async def client(made: Parts, story: LiveStory) -> AsyncIterator[httpx.AsyncClient]:
    caught_up(made, story.broker)
    async with client_of(made) as here:
        yield here


class Outline(HTMLParser):
    """What a page is for whoever does not see it: headings, fields with what is around them, ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.language: str | None = None
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.unlabelled: list[str] = []
        self.hidden_links: list[str] = []
        self.links: list[str] = []
        self.injected: list[str] = []
        self._around: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if identifier := given.get("id"):
            self.ids.append(identifier)
        names = [name for name, _ in self._around]
        is_field = tag in {"input", "select", "textarea"} and given.get("type") != "hidden"
        if is_field and "label" not in names and "aria-label" not in given:
            self.unlabelled.append(str(given.get("name")))
        self.links += [str(given["href"])] if tag == "a" and given.get("href") else []
        is_loaded = tag in {"script", "img"}
        is_foreign = is_loaded and not str(given.get("src")).startswith("/ui/static/")
        if is_foreign or any(name.startswith("on") or name == "style" for name in given):
            self.injected.append(f"{tag} {attrs}")
        if tag == "a" and any(around.get("role") == "img" for _, around in self._around):
            self.hidden_links.append(str(given.get("href")))
        if tag not in _VOID:
            self._around.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        while self._around and self._around.pop()[0] != tag:
            pass


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_can_be_read_by_its_outline(client: httpx.AsyncClient, path: str) -> None:
    """It says its language, has one first heading and leaves no level out; fields have labels, links are in no picture."""
    page = (await client.get(f"/ui/{path}")).text
    seen = Outline(page)

    assert seen.language == "en"
    assert seen.headings.count(1) == 1
    assert seen.headings[0] == 1
    steps = zip(seen.headings, seen.headings[1:], strict=False)
    assert all(later <= earlier + 1 for earlier, later in steps)
    assert seen.unlabelled == []
    assert seen.hidden_links == []
    assert len(set(seen.ids)) == len(seen.ids)
    assert seen.injected == []
    assert "<style" not in page


async def test_every_link_leads_to_a_page_whatever_ids_there_are(
    client: httpx.AsyncClient, made: Parts, story: LiveStory
) -> None:
    """From page to page as far as links lead; what somebody wrote is nowhere more than text and the address of its page."""
    for number, nasty in enumerate((QUOTES, "a/b?c#d%2F e", "/x", "//x", "a/../b", "javascript:x")):
        one = message(f"n-{number}-{nasty}", {nasty: nasty}, conversation=nasty, target=nasty)
        story.arrives(one, at=story.at + number)
        parked(story, f"w{nasty}", {"z": nasty})
    caught_up(made, story.broker)
    todo = [f"/ui/{name}" for name, _ in NAVIGATION]
    found: dict[str, str] = {}
    while todo:
        here = todo.pop()
        if here in found or not here.startswith("/ui/"):
            continue
        answer = await client.get(here)
        seen = Outline(answer.text)
        found[here] = f"{answer.status_code} {seen.injected}"
        todo += [urldefrag(urljoin(here, link)).url for link in seen.links]

    assert {here: told for here, told in found.items() if told != "200 []"} == {}
    assert sum("/conversations/" in here for here in found) >= 12


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("DELETE", "live")])
async def test_an_address_that_is_none_is_told_in_the_words_of_pages(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    """A person gets no list of paths and methods."""
    answer = await client.request(method, f"/ui/{path}")

    assert answer.status_code in {404, 405}
    assert "there is no such page" in answer.text
    assert "every path and method" not in answer.text


@pytest.mark.parametrize(
    ("headers", "how"),
    [({"hx-request": "true"}, "still there"), ({}, "load this page again")],
)
async def test_a_form_while_the_broker_is_away_says_what_to_do(
    made: Parts, story: LiveStory, tmp_path: Path, headers: dict[str, str], how: str
) -> None:
    """A person has no id to send it under; sent again as it says, it is the same message."""

    def nobody() -> Producer:
        raise BrokerError("nobody answers")

    caught_up(made, story.broker)
    away = parts(tmp_path, story.as_broker(), now=story.now, make_producer=nobody)
    form = {"content-type": "application/x-www-form-urlencoded", **headers}
    async with client_of(away, connected=False) as there:
        answers = [
            await there.post(f"/ui/{path}", content=urlencode(fields), headers=form)
            for path, fields in FORMS.items()
        ]

    assert {one.status_code for one in answers} == {503}
    assert all(how in one.text and "counts once" in one.text for one in answers)
    assert not any("under the same id" in one.text for one in answers)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        *zip(
            FORMS,
            ("is on the way", "Given to bob", "Sent again", "2 sent", "Put aside"),
            strict=True,
        )
    ],
)
async def test_a_form_without_scripts_is_answered_with_a_page(
    client: httpx.AsyncClient, path: str, said: str
) -> None:
    """With its headings and the way to the others, not with a part that nothing puts in its place."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post(f"/ui/{path}", data=FORMS[path], headers=form)
    seen = Outline(answer.text)

    assert answer.status_code == 200, answer.text
    assert said in answer.text
    assert (seen.language, seen.headings[:1]) == ("en", [1])
    assert 'aria-label="Pages"' in answer.text


async def test_an_answer_is_read_out_once(client: httpx.AsyncClient) -> None:
    """What is put into a live region is none itself: a screen reader would read it twice."""
    headers = {"hx-request": "true", "content-type": "application/x-www-form-urlencoded"}
    spoken = []
    for path in ("lead", "dead-letters/0:0/replay", "dead-letters/0:0/discard"):
        around = (await client.get(f"/ui/{path.rpartition('/')[0] or path}")).text
        answer = await client.post(f"/ui/{path}", content=urlencode(FORMS[path]), headers=headers)
        assert re.search(r'<div id="(?:said|sent)" aria-live="polite">', around)
        spoken += re.findall(r'role="(?:status|alert)"|aria-live', answer.text)

    assert spoken == []


async def test_a_decision_is_a_link_before_it_is_opened(client: httpx.AsyncClient) -> None:
    """Which leads to a page that explains it."""
    page = (await client.get("/ui/conversations/c-1")).text
    link = re.findall(r'<a href="(/ui/decision\?[^"]+)"', page)[0].replace("&amp;", "&")
    answer = await client.get(link)

    assert answer.status_code == 200
    assert Outline(answer.text).headings == [1]
    assert "Budget left" in answer.text
