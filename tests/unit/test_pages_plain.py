"""The pages without a mouse and without scripts: forms and links do by themselves what scripts make smoother."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import httpx
import pytest

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
    assert not re.search(r"<(?!meta)[^>]*\s(?:on\w+|style)=", page)
    assert not re.search(r"<script(?![^>]*src=)|<style", page)


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("lead", {"name": "Ada", "email": "a@b.example"}, "is on the way"),
        ("inbox/items/p-lead-1", {"agent": "bob"}, "Given to bob"),
        ("dead-letters/0:0/replay", {}, "Sent again"),
        ("dead-letters/replay", {"reason": "unknown_agent"}, "2 sent again"),
        ("dead-letters/0:0/discard", {"note": "a test"}, "Put aside"),
    ],
)
async def test_a_form_without_scripts_is_answered_with_a_page(
    client: httpx.AsyncClient, path: str, fields: dict[str, str], said: str
) -> None:
    """With its headings and the way to the others, not with a part that nothing puts in its place."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post(f"/ui/{path}", data=fields, headers=form)
    seen = Outline(answer.text)

    assert answer.status_code == 200, answer.text
    assert said in answer.text
    assert (seen.language, seen.headings[:1]) == ("en", [1])
    assert 'aria-label="Pages"' in answer.text


async def test_a_decision_is_a_link_before_it_is_opened(client: httpx.AsyncClient) -> None:
    """Which leads to a page that explains it."""
    page = (await client.get("/ui/conversations/c-1")).text
    link = re.findall(r'<a href="(/ui/decision\?[^"]+)"', page)[0].replace("&amp;", "&")
    answer = await client.get(link)

    assert answer.status_code == 200
    assert Outline(answer.text).headings == [1]
    assert "Budget left" in answer.text
