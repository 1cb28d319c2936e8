"""The inbox, the dead letters and the agents as pages: what they show, what a form does, and who may."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.gateway.access import COOKIE
from signalbox.gateway.keys import add_key
from signalbox.gateway.pages.flow import HEIGHT, WIDTH, flow_of
from signalbox.gateway.pages.site import pretty
from signalbox.gateway.parts import Parts
from tests.support.fleets import message
from tests.support.gateway import AT, caught_up, client_of, parts
from tests.support.live_story import LiveStory, live
from tests.support.waiting import parked
from tests.support.workflow_world import step, workflow

pytestmark = pytest.mark.anyio
SCRIPT = "<script>alert(1)</script>"
PART = {"hx-request": "true"}
ASK = {"reason": "Charge {{ data.n }}?", "deadline_seconds": 86_400, "default": "approve"}
REVIEWED = {"below_confidence": 0.5, "deadline_seconds": 3600}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    """Agents that take anything, a workflow whose one step needs a person's consent."""
    answers = {"ann": lambda _: {"ok": 1}, "bob": lambda _: {"ok": 1}}
    return live(monkeypatch, [workflow(step("charge", approve=ASK))], answers, review=REVIEWED)


class Desk:
    """A browser at the pages, which have read everything up to now."""

    def __init__(self, client: httpx.AsyncClient, made: Parts, story: LiveStory) -> None:
        self.http = client
        self._made = made
        self._story = story

    async def get(self, path: str, status: int = 200, **more: Any) -> str:
        caught_up(self._made, self._story.broker)
        answer = await self.http.get(f"/ui/{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.text

    async def post(self, path: str, status: int = 200, **fields: str) -> str:
        caught_up(self._made, self._story.broker)
        form = {**PART, "content-type": "application/x-www-form-urlencoded"}
        answer = await self.http.post(f"/ui/{path}", content=urlencode(fields), headers=form)
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture
def made(story: LiveStory, tmp_path: Path) -> Parts:
    return parts(tmp_path, story.as_broker(), now=story.now)


@pytest.fixture
async def desk(made: Parts, story: LiveStory) -> AsyncIterator[Desk]:
    async with client_of(made) as client:
        yield Desk(client, made, story)


@pytest.fixture
async def stranger(made: Parts, story: LiveStory) -> AsyncIterator[Desk]:
    """A browser on another machine that keeps a key which may read."""
    async with client_of(made, address="203.0.113.7") as client:
        client.cookies.set(COOKIE, add_key(made.settings.home / "keys.json", "eye", ["read"], AT))
        yield Desk(client, made, story)


def asks(story: LiveStory, conversation: str, n: int = 12) -> None:
    """Let a workflow begin whose step needs a person's consent."""
    story.at += 100
    begun = message(f"m-{conversation}", {"n": n}, conversation=conversation, type="work.asked")
    story.arrives(begun, at=story.at)


def dead(story: LiveStory, number: int, *, target: str = "nobody") -> None:
    story.at += 10
    one = message(f"d-{number}", {"z": number}, conversation=f"c-{number}", target=target)
    story.arrives(one, at=story.at)


def resolutions(story: LiveStory) -> list[dict[str, Any]]:
    return [one.data for one in story.received if one.type == "review.resolved"]


def links(page: str, under: str) -> list[str]:
    return [unescape(one) for one in re.findall(rf'href="/ui/({under}/[^"]+)"', page)]


async def test_the_inbox_lists_what_waits_the_oldest_first(desk: Desk, story: LiveStory) -> None:
    """Each with why, how long there is, and what happens then."""
    asks(story, "order-1")
    parked(story, "lead-1")
    page = await desk.get("inbox")
    token, name = links(page, "inbox/items")

    assert token.startswith("inbox/items/approval-")
    assert name == "inbox/items/p-lead-1"
    assert "Charge 12?" in page
    assert "then it counts as approved" in page
    assert "then nobody gets it" in page
    assert "in 1 h 0 min" in page


async def test_a_message_is_given_to_whom_a_person_chooses(desk: Desk, story: LiveStory) -> None:
    """With a note and a name; its page then says what became of it, and has no form any more."""
    parked(story, "lead-1")
    page = await desk.get("inbox/items/p-lead-1")
    fields = {"agent": "bob", "comment": "he can", "resolved_by": "Kim"}
    answered = await desk.post("inbox/items/p-lead-1", **fields)
    late = await desk.post("inbox/items/p-lead-1", 409, agent="ann")
    after = await desk.get("inbox/items/p-lead-1")

    offered = re.findall(r"<option(?: value=\"(\w*)\")?>([^<]*)</option>", page)
    assert [value or text for value, text in offered][1:] == [
        *("ann", "bob", "cyd", "judge", "undo"),
        "NONE",
    ]
    assert "Given to bob" in answered
    assert "<html" not in answered
    assert resolutions(story) == [
        {"message_id": "p-lead-1", "agent": "bob", "comment": "he can", "resolved_by": "Kim"}
    ]
    assert "answered: bob" in late
    assert "answered: bob, Kim decided: he can" in after
    assert "<form" not in after
    assert "Nothing waits" in await desk.get("inbox")


async def test_nobody_is_a_choice_and_no_choice_is_none(desk: Desk, story: LiveStory) -> None:
    """NONE rejects; without an agent nothing is sent."""
    parked(story, "lead-1")
    refused = await desk.post("inbox/items/p-lead-1", 422)
    forged = await desk.post("inbox/items/p-lead-1", 422, agent="bob", evil="1")
    before = resolutions(story)
    answered = await desk.post("inbox/items/p-lead-1", agent="NONE")

    assert "p-lead-1" in refused
    assert "evil" in forged
    assert before == []
    assert "Rejected" in answered
    assert [one["agent"] for one in resolutions(story)] == ["NONE"]


@pytest.mark.parametrize(("decision", "ended"), [("approve", "completed"), ("reject", "failed")])
async def test_a_step_is_approved_or_rejected(desk, story: LiveStory, decision, ended) -> None:
    """The workflow goes on, or does not."""
    asks(story, "order-1")
    (place,) = links(await desk.get("inbox"), "inbox/items")
    page = await desk.get(place)
    await desk.post(place, decision=decision, comment="as agreed")

    assert page.count("<button") == 2
    assert 'name="agent"' not in page
    assert resolutions(story)[0]["decision"] == decision
    assert f">{ended}</span>" in await desk.get("conversations/order-1")


async def test_data_is_edited_before_it_is_given(desk: Desk, story: LiveStory) -> None:
    """The form holds the data as it came; what a person makes of it is what the agent is given, and the page says so."""
    parked(story, "lead-1")
    page = await desk.get("inbox/items/p-lead-1")
    answered = await desk.post("inbox/items/p-lead-1", agent="bob", data='{"z": 2}')
    decided = await desk.get("conversations/lead-1")

    (offered,) = re.findall(r'<textarea[^>]*name="data"[^>]*>([^<]*)</textarea>', page)
    assert json.loads(unescape(offered)) == {"z": 1}
    assert "Given to bob, on edited data" in answered
    assert [one["data"] for one in resolutions(story)] == [{"z": 2}]
    assert "decided on edited data" in decided


async def test_data_that_is_left_as_it_was_is_no_edit(desk: Desk, story: LiveStory) -> None:
    """However its JSON is written; also where the answer is a rejection."""
    parked(story, "lead-1")
    parked(story, "lead-2")
    await desk.post("inbox/items/p-lead-1", agent="bob", data='{\r\n"z":\r\n1}')
    await desk.post("inbox/items/p-lead-2", agent="NONE", data='{"z": 1}')

    assert [one.get("data") for one in resolutions(story)] == [None, None]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"agent": "bob", "data": "{"}, "not JSON"),
        ({"agent": "bob", "data": "[1]"}, "an object is needed"),
        ({"agent": "bob", "data": '{"a":' * 200 + "1" + "}" * 200}, "nested deeper"),
        ({"agent": "NONE", "data": '{"z": 2}'}, "nobody is given edited data"),
    ],
)
async def test_edit_that_cannot_be_is_refused_at_once(desk, story, fields, told) -> None:
    """What is wrong is said, nothing is sent, and the question is open."""
    parked(story, "lead-1")
    page = await desk.post("inbox/items/p-lead-1", 422, **fields)

    assert told in unescape(page)
    assert resolutions(story) == []
    assert "<form" in await desk.get("inbox/items/p-lead-1")


@pytest.mark.parametrize(
    ("data", "is_editable"), [({"z": ["é\n", 0.1]}, True), ({"z": [0] * 40_000}, False)]
)
async def test_a_question_is_answered_however_wide_its_data_is(
    desk: Desk, story: LiveStory, data: dict[str, Any], is_editable: bool
) -> None:
    """A form sends all its fields, and wide data would be too many; data that is sent as it came is not edited."""
    parked(story, "lead-1", data)
    page = await desk.get("inbox/items/p-lead-1")
    typed = re.findall(r'<textarea[^>]*name="data"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    fields = {"data": unescape(typed[0]).replace("\n", "\r\n")} if typed else {}
    answered = await desk.post("inbox/items/p-lead-1", agent="bob", **fields)

    assert bool(typed) == is_editable
    assert ("<code>POST /reviews/p-lead-1</code>" in page) == (not is_editable)
    assert "Given to bob." in answered


async def test_a_steps_input_is_edited_and_a_row_has_what_was_decided_on(
    desk: Desk, story: LiveStory
) -> None:
    """The step's agent is given it; the labelled row of a message has the edited data, not what came."""
    asks(story, "order-1")
    parked(story, "lead-1")
    place, _ = links(await desk.get("inbox"), "inbox/items")
    await desk.post(place, decision="approve", data='{"n": 6}')
    await desk.post("inbox/items/p-lead-1", agent="bob", data='{"z": 2}')
    await desk.get("inbox")
    (row,) = (await desk.http.get("/ui/inbox/labels.jsonl")).text.splitlines()

    assert [one["data"] for one in resolutions(story)] == [{"n": 6}, {"z": 2}]
    assert json.loads(row)["data"] == {"z": 2}
    assert "approved step charge on edited data" in await desk.get("conversations/order-1")


async def test_a_conversation_leads_to_its_question(desk: Desk, story: LiveStory) -> None:
    """And an unknown question is a 404 page."""
    parked(story, "lead-1")
    page = await desk.get("conversations/lead-1")

    assert links(page, "inbox/items") == ["inbox/items/p-lead-1"]
    assert "nothing waits" in await desk.get("inbox/items/other", 404)


async def test_what_people_chose_is_a_file_of_labelled_rows(desk: Desk, story: LiveStory) -> None:
    """One row for each choice, none for consent to a step; as `signalbox eval` takes them."""
    asks(story, "order-1")
    for number, agent in enumerate(("bob", "NONE")):
        parked(story, f"lead-{number}")
        await desk.post(f"inbox/items/p-lead-{number}", agent=agent)
    (place,) = links(await desk.get("inbox"), "inbox/items")
    await desk.post(place, decision="approve")
    await desk.get("inbox")
    answer = await desk.http.get("/ui/inbox/labels.jsonl")
    rows = [json.loads(line) for line in answer.text.splitlines()]

    assert answer.headers["content-disposition"] == 'attachment; filename="labels.jsonl"'
    assert [(row["id"], row["expected"]) for row in rows] == [
        ("p-lead-0", "bob"),
        ("p-lead-1", "NONE"),
    ]
    assert rows[0]["data"] == {"z": 1}


async def test_dead_letters_are_listed_by_reason_until_they_are_dealt_with(
    desk: Desk, story: LiveStory
) -> None:
    """The number of each reason; what was replayed or discarded is there when it is asked for."""
    for number in range(3):
        dead(story, number)
    first = await desk.get("dead-letters")
    (replayed, discarded, left) = links(first, "dead-letters")[::-1]
    await desk.post(f"{replayed}/replay", message='{"type": "x.asked", "target": "ann"}')
    await desk.post(f"{discarded}/discard", note="a test", discarded_by="Kim")
    then = await desk.get("dead-letters?reason=unknown_agent")
    everything = await desk.get("dead-letters?dealt=1")
    none = await desk.get("dead-letters?reason=late")
    await desk.get("dead-letters?reason=other", 422)

    assert re.search(r'unknown agent <span class="count">3<', first)
    assert re.search(r'unknown agent <span class="count">1<', then)
    assert links(then, r"dead-letters(?=/\d)") == [left]
    assert everything.count(">replayed</span>") == everything.count(">discarded</span>") == 1
    assert "put aside by Kim: a test" in await desk.get(discarded, headers=PART)
    assert "No dead letter is open here" in none


async def test_a_dead_letter_edited_and_replayed_is_delivered(desk: Desk, story: LiveStory) -> None:
    """What may be changed is in the form; the new message has it, the dead letter keeps the original."""
    dead(story, 1)
    (place,) = links(await desk.get("dead-letters"), "dead-letters")
    page = await desk.get(place)
    typed = unescape(re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[0])
    edited = {**json.loads(typed), "target": "ann", "data": {"z": 2}}
    said = await desk.post(f"{place}/replay", message=json.dumps(edited))
    broken = await desk.post(f"{place}/replay", 422, message="{oops")
    after = await desk.get(place)

    sent = story.received[0]
    assert json.loads(typed) == {"type": "lead.submitted", "target": "nobody", "data": {"z": 1}}
    assert (sent.target, sent.data, sent.causationid) == ("ann", {"z": 2}, "d-1")
    assert links(said, "conversations") == ["conversations/c-1"]
    assert "not JSON" in broken
    assert ">replayed</span>" in after
    assert "&#34;target&#34;: &#34;nobody&#34;" in after


async def test_all_of_a_reason_are_replayed_at_once(desk: Desk, story: LiveStory) -> None:
    """The button says how many there are and asks first; the answer says how many were sent."""
    for number in range(2):
        dead(story, number)
    page = await desk.get("dead-letters?reason=unknown_agent")
    said = await desk.post("dead-letters/replay", reason="unknown_agent")

    assert 'hx-confirm="Send 2 dead letters of unknown_agent once more?"' in page
    assert "hx-confirm" not in await desk.get("dead-letters")
    assert "2 sent again" in said
    assert [one.causationid for one in story.received] == ["d-0", "d-1"]


async def test_what_is_no_message_can_be_mended(desk: Desk, story: LiveStory) -> None:
    """Raw as it came, no decoded form; as it is it cannot be sent, and the page says why."""
    letter = DeadLetter.of(
        b"\xff{oops", topic="agent_messages", key="k", reason="malformed_json", detail="not JSON",
        failed_at=story.now(),
    )  # fmt: skip
    story.broker.producer().send("agent_messages_dlq", key=b"k", value=letter.to_json())
    (place,) = links(await desk.get("dead-letters"), "dead-letters")
    page = await desk.get(place)
    refused = await desk.post(f"{place}/replay", 409)

    assert "no text, as base64" in page
    assert "<h2>Decoded" not in page
    assert "not an envelope" in refused


def beat(story: LiveStory, name: str, **more: Any) -> None:
    fields = {"instance": "0", "active": 1, "max_concurrent": 4, "handled": 9, "failed": 1}
    one = Heartbeat(agent=name, at=story.now(), definitions="d", digest="x", **{**fields, **more})
    story.broker.producer().send("agent_heartbeats", key=name.encode(), value=one.to_json())


async def test_agents_are_shown_with_their_state_and_figures(desk: Desk, story: LiveStory) -> None:
    """Active, paused, silent; success and times; who handed off to whom, declared or seen."""
    story.answers_of.clear()
    story.arrives(message("t-1", {"z": 1}, conversation="x-1", target="ann"), at=10)
    story.answers("ann", {"z": 2}, at=60, target="bob")
    story.arrives(message("t-2", {"z": 1}, conversation="x-2", target="cyd"), at=100)
    story.fails("cyd", "no", at=150)
    beat(story, "ann")
    beat(story, "bob", paused=True)
    page = await desk.get("agents")
    rows = {
        one: re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row))
        for row in page.split("<tr>")
        for one in links(row, "agents")
    }

    assert "active" in rows["agents/ann"]
    assert "100.0 %" in rows["agents/ann"]
    assert "50 ms" in rows["agents/ann"]
    assert "paused" in rows["agents/bob"]
    assert "silent" in rows["agents/cyd"]
    assert "0.0 %" in rows["agents/cyd"]
    assert "<title>ann → bob: 1</title>" in page


async def test_an_agents_page_has_its_processes_and_its_definition(
    desk: Desk, story: LiveStory
) -> None:
    """The figures are a part that is asked for again; an unknown agent is a 404 page."""
    beat(story, "ann", instance=SCRIPT, active=3)
    page = await desk.get("agents/ann")
    part = await desk.get("agents/ann", headers=PART)

    assert "name: ann" in page
    assert "3 of at most 4 in hand" in page
    assert SCRIPT not in page
    assert "&lt;script&gt;" in part
    assert "<html" not in part
    assert "no agent" in await desk.get("agents/eve", 404)


async def test_who_may_only_read_sees_no_buttons_and_cannot_act(
    stranger: Desk, story: LiveStory
) -> None:
    """The pages say which scope is needed; the server refuses whatever is sent."""
    parked(story, "lead-1")
    dead(story, 1)
    pages = [
        await stranger.get("inbox/items/p-lead-1"),
        await stranger.get("dead-letters/0:0"),
        await stranger.get("dead-letters?reason=unknown_agent"),
        await stranger.get("agents"),
    ]
    refused = [
        await stranger.post("inbox/items/p-lead-1", 403, agent="bob"),
        await stranger.post("dead-letters/0:0/replay", 403),
        await stranger.post("dead-letters/0:0/discard", 403),
        await stranger.post("dead-letters/replay", 403, reason="unknown_agent"),
    ]

    assert not any("<form" in page for page in pages)
    assert all("--scope decide" in one for one in refused)
    assert story.received == []


async def test_what_somebody_wrote_is_text_on_every_page(desk: Desk, story: LiveStory) -> None:
    """Scripts in ids, data, reasons, notes and heartbeats come out escaped."""
    parked(story, f"l/{SCRIPT}", {"z": SCRIPT})
    dead(story, 1, target=f"x{SCRIPT}")
    beat(story, "ann", instance=SCRIPT)
    await desk.post("dead-letters/0:0/discard", note=SCRIPT, discarded_by=SCRIPT)
    inbox = await desk.get("inbox")
    pages = [
        inbox,
        await desk.get(links(inbox, "inbox/items")[0]),
        await desk.get("dead-letters?dealt=1"),
        await desk.get(f"dead-letters?conversation={SCRIPT}"),
        await desk.get("dead-letters/0:0"),
        await desk.get("agents"),
        await desk.get("agents/ann"),
    ]

    assert not any(SCRIPT in page for page in pages)
    assert all("&lt;script&gt;" in page or "%3Cscript%3E" in page for page in pages[:5])


def test_a_number_beyond_64_bits_is_shown() -> None:
    """Somebody's data may have one."""
    assert pretty({"n": 2**80}) == f'{{\n  "n": {2**80}\n}}'


def pairs(*words: str) -> list[tuple[str, str]]:
    return [(word[0], word[1]) for word in words]


@pytest.mark.parametrize(
    ("seen", "columns"),
    [
        (["ab", "bc", "ac"], {"a": 0, "b": 1, "c": 2}),
        (["ab", "ba"], {"a": 0, "b": 1}),
        (["aa"], {"a": 0}),
        (["bc", "ca", "ab"], {"a": 0, "b": 1, "c": 2}),
        (["da", "db", "ac", "bc"], {"d": 0, "a": 1, "b": 1, "c": 2}),
        ([], {"a": 0, "b": 0}),
    ],
)
def test_an_agent_stands_right_of_who_hands_off_to_it(seen: Sequence[str], columns) -> None:
    """Circles included; no two boxes overlap, and everything is within the drawing."""
    drawn = flow_of(columns, [], dict.fromkeys(pairs(*seen), 3))
    places = sorted({node.x for node in drawn.nodes})
    corners = [(node.x, node.y) for node in drawn.nodes]

    assert {node.name: places.index(node.x) for node in drawn.nodes} == columns
    assert len(set(corners)) == len(corners)
    assert len(drawn.lines) == len(seen)
    assert all(x + WIDTH <= drawn.width and y + HEIGHT <= drawn.height for x, y in corners)
    assert all(0 < line.x < drawn.width and 0 < line.y < drawn.height for line in drawn.lines)


def test_a_hand_off_is_drawn_once_declared_or_seen() -> None:
    """With its number; of an agent that is not there nothing is drawn."""
    drawn = flow_of("abc", pairs("ab", "ax"), {("a", "b"): 2, ("b", "c"): 1, ("x", "a"): 9})

    assert [(one.sender, one.receiver, one.number, one.is_declared) for one in drawn.lines] == [
        ("a", "b", 2, True),
        ("b", "c", 1, False),
    ]
    places = [(one.x, one.y) for one in drawn.lines]
    assert len(set(places)) == 2
