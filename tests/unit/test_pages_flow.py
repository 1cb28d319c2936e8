"""The page of flow health, and its line on the live page: what a person sees, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from signalbox.flow.health import Finding, Health
from signalbox.gateway.pages.flow_health import grade_of, shown
from signalbox.gateway.parts import Parts
from tests.support.fleets import message
from tests.support.flow_story import END, MINUTE, flow_story
from tests.support.gateway import caught_up, client_of, parts_of
from tests.support.live_story import LiveStory, live
from tests.support.story import T0

pytestmark = pytest.mark.anyio
PART = {"hx-request": "true"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    return flow_story(monkeypatch)


@pytest.fixture
def made(story: LiveStory, tmp_path: Path) -> Parts:
    return parts_of(tmp_path, story)


@pytest.fixture
async def client(made: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(made) as here:
        yield here


async def test_the_page_has_score_numbers_and_a_remedy_for_every_finding(
    client: httpx.AsyncClient,
) -> None:
    """Commands as code, and each example where it has its page."""
    text = (await client.get("/ui/flow")).text

    assert '<strong class="is-bad">0</strong> of 100 · 12 findings' in text
    assert text.count('class="card finding"') == 12
    assert "<dt>messages</dt><dd>103</dd>" in text
    assert "<code>signalbox trace stuck</code>" in text
    assert 'href="/ui/conversations/stuck"' in text
    assert 'href="/ui/dead-letters/0%3A0"' in text
    assert 'href="/ui/inbox/items/p-1"' in text


async def test_examples_have_the_pages_that_they_lead_to(client: httpx.AsyncClient) -> None:
    """No link of a finding is broken."""
    text = (await client.get("/ui/flow")).text
    links = set(re.findall(r'href="(/ui/(?:conversations|dead-letters|inbox)/[^"]+)"', text))

    assert len(links) >= 5
    for link in links:
        assert (await client.get(link)).status_code == 200, link


async def test_the_window_is_chosen_by_links(client: httpx.AsyncClient) -> None:
    """Which is on is marked, and what is refreshed is that one."""
    text = (await client.get("/ui/flow", params={"minutes": 60})).text

    assert '<a href="/ui/flow?minutes=60" aria-current="page">1 hour</a>' in text
    assert '<a href="/ui/flow?minutes=360">6 hours</a>' in text
    assert 'hx-get="/ui/flow?minutes=60" hx-trigger="every 10s"' in text
    assert (await client.get("/ui/flow", params={"minutes": 0})).status_code == 422


async def test_htmx_gets_the_numbers_alone(client: httpx.AsyncClient) -> None:
    """No page within the page."""
    text = (await client.get("/ui/flow", headers=PART)).text

    assert "<html" not in text
    assert "12 findings" in text


async def test_the_live_page_leads_to_it_by_a_line_of_its_own(client: httpx.AsyncClient) -> None:
    """A link at once, its score as soon as it is known, so that the picture never waits for it."""
    page = (await client.get("/ui/live")).text
    line = (await client.get("/ui/flow/line", headers=PART)).text

    assert 'hx-get="/ui/flow/line" hx-trigger="load, every 30s"><a href="/ui/flow">Flow</a>' in page
    assert (
        '<a href="/ui/flow">Flow <strong class="is-bad">0</strong> of 100</a> · 12 findings' in line
    )


async def test_a_quiet_system_is_said_to_be_quiet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """100 points and nothing happened."""
    story = live(monkeypatch, [], {})
    made = parts_of(tmp_path, story)
    async with client_of(made) as client:
        page = (await client.get("/ui/flow")).text
        line = (await client.get("/ui/flow/line")).text

    assert '<strong class="is-good">100</strong> of 100 · 0 findings' in page
    assert "Nothing happened" in page
    assert "nothing happened in 15 minutes" in line


async def test_what_a_record_says_stays_text(made: Parts, story: LiveStory) -> None:
    """An id or a type with markup in it is shown, not obeyed; and a command with it is one to paste."""
    sent = message("x-1", {"z": 1}, conversation="a';reboot;'<b>")
    # Older than what is undecided otherwise, so it is the example.
    story.arrives(sent, at=END - 7 * MINUTE)
    caught_up(made, story.broker)
    story.now_ms = T0 + END
    async with client_of(made) as client:
        text = (await client.get("/ui/flow")).text

    assert "<b>" not in text
    assert ">a&#39;;reboot;&#39;&lt;b&gt;</a>" in text
    quoted = "signalbox trace 'a'\"'\"';reboot;'\"'\"'<b>'"
    assert quoted in unescape(text)


def test_a_remedy_is_cut_into_words_and_commands() -> None:
    """Backticks are its commands; an example without a place has no link."""
    finding = Finding("slow-hops", "slow", 1, 1, 5, "`signalbox status` says; see docs/x.md")

    assert shown(finding)["remedy"] == [
        ("", False),
        ("signalbox status", True),
        (" says; see docs/x.md", False),
    ]
    assert shown(finding)["place"] is None
    assert [grade_of(Health(score, ())) for score in (100, 90, 89, 60, 59, 0)] == [
        *["good"] * 2,
        *["warn"] * 2,
        *["bad"] * 2,
    ]
