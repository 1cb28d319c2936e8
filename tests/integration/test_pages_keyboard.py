"""In a browser, by keyboard and ear: parts of a page come anew, and nobody loses the place or hears the same thing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import uvicorn
from playwright.sync_api import Page, expect

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.gateway.app import create_app
from signalbox.local_stack import ports
from tests.support.browser import browser_page
from tests.support.gateway import caught_up, parts
from tests.support.live_story import LiveStory, live
from tests.support.waiting import parked

pytestmark = pytest.mark.integration
REVIEWED: Final = {"below_confidence": 0.5, "deadline_seconds": 3600}
MUTATIONS: Final = """id => {
    window.changes = 0;
    new MutationObserver(() => window.changes++).observe(document.getElementById(id), {childList: true, subtree: true});
}"""


class Served:
    """A gateway at a port of this machine, over a story that a test goes on with."""

    def __init__(self, folder: Path, story: LiveStory) -> None:
        self.story = story
        self._made = parts(folder, story.as_broker(), now=story.now)
        self.read()
        self.port = ports.free_port()
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(self._made), port=self.port, log_level="error", ws="none", loop="asyncio"
            )
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def read(self) -> None:
        """Let the pages know what has happened up to now."""
        caught_up(self._made, self.story.broker)

    def beat(self, agent: str, active: int) -> None:
        """Let an agent say how many tasks it has."""
        one = Heartbeat(
            agent=agent, instance="0", active=active, max_concurrent=9, handled=0, failed=0,
            at=self.story.now(), definitions="d", digest="x",
        )  # fmt: skip
        producer = self.story.broker.producer()
        producer.send("agent_heartbeats", key=agent.encode(), value=one.to_json())
        self.read()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    story = live(monkeypatch, [], {"ann": lambda _: {"ok": 1}}, review=REVIEWED)
    parked(story, "lead-1")
    running = Served(tmp_path, story)
    yield running
    running.stop()


def come_anew(page: Page, path: str) -> None:
    """Wait until the page has asked for its part, and has it."""
    with page.expect_response(lambda answer: answer.url.endswith(path)):
        pass


def test_who_is_at_a_link_in_a_table_stays_at_it(served: Served) -> None:
    """The table came anew with other figures; the next key goes on from where one was."""
    with browser_page(served.port) as page:
        page.goto("/ui/agents")
        link = page.get_by_role("row").filter(has_text="bob").get_by_role("link")
        link.focus()
        served.beat("ann", 7)
        expect(page.get_by_role("row").filter(has_text="ann")).to_contain_text("7")
        expect(link).to_be_focused()


def test_a_part_that_is_as_it_was_is_left_alone(served: Served) -> None:
    """A screen reader would read it again, and what is selected in it would not be."""
    with browser_page(served.port) as page:
        page.goto("/ui/agents")
        page.evaluate(MUTATIONS, "rows")
        come_anew(page, "/ui/agents")
        come_anew(page, "/ui/agents")
        unchanged = page.evaluate("window.changes")
        served.beat("ann", 7)
        expect(page.get_by_role("row").filter(has_text="ann")).to_contain_text("7")

    assert unchanged == 0


def test_what_is_wrong_is_said_once_and_only_as_long_as_it_is(served: Served) -> None:
    """The part is asked for again every two seconds; the notice is one, and goes when the part comes."""
    with browser_page(served.port, provoked=503) as page:
        page.goto("/ui/agents")
        page.evaluate(MUTATIONS, "notice")
        page.route("**/ui/agents", lambda one: one.fulfill(status=503, body="<p>away</p>"))
        expect(page.get_by_role("alert")).to_have_text("away")
        come_anew(page, "/ui/agents")
        come_anew(page, "/ui/agents")
        said = page.evaluate("window.changes")
        page.unroute("**/ui/agents")
        expect(page.get_by_role("alert")).to_have_text("")

    assert said == 1


def test_a_list_that_hears_no_news_says_so(served: Served) -> None:
    """Nothing else asks for it: it would look as if nothing happened. Once there is news again, it says nothing."""
    with browser_page(served.port, provoked="(?:503|object Event)") as page:
        page.route("**/ui/stream?*", lambda one: one.fulfill(status=503))
        page.goto("/ui/conversations")
        expect(page.get_by_role("alert")).to_contain_text("No news comes")
        page.unroute("**/ui/stream?*")
        expect(page.get_by_role("alert")).to_have_text("")


def test_the_live_page_says_that_its_stream_is_over(served: Served) -> None:
    """A browser does not try again where it was refused, so the page must not say that it does."""
    with browser_page(served.port, provoked=429) as page:
        page.route("**/ui/live/stream", lambda one: one.fulfill(status=429))
        page.goto("/ui/live")
        expect(page.get_by_role("status")).to_have_text(
            "No news comes any more; load the page again."
        )


def test_who_sent_a_form_is_where_it_was_or_at_the_answer(served: Served) -> None:
    """Not at the top of the page: a form that stays has the focus, one that is gone hands it to what says so."""
    with browser_page(served.port) as page:
        page.goto("/ui/lead")
        for label in ("Name", "Email", "Company", "Job title"):
            page.get_by_label(label, exact=True).fill("a@b.example")
        page.get_by_role("button", name="Send").press("Enter")
        expect(page.locator("#sent")).to_contain_text("is on the way")
        expect(page.get_by_role("button", name="Send")).to_be_focused()
        page.goto("/ui/inbox/items/p-lead-1")
        page.get_by_label("Who gets it").select_option("bob")
        page.get_by_role("button", name="Decide").press("Enter")
        expect(page.get_by_role("status").filter(has_text="Given to bob.")).to_be_focused()
