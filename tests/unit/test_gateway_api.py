"""What the gateway shows and lets a person do: the same as the commands, from the read model, by scope."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from connectors.registry import read_registry
from signalbox.cli.main import app
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.gateway import asking
from signalbox.gateway.keys import SCOPES, add_key
from signalbox.gateway.parts import Parts
from signalbox.gateway.readmodel import queries, schema, tables
from tests.support.fleets import message
from tests.support.gateway import AT, caught_up, client_of, parts, parts_of
from tests.support.live_story import LiveStory, live
from tests.support.research_story import research
from tests.support.waiting import parked
from tests.support.workflow_world import step, workflow

pytestmark = pytest.mark.anyio
runner = CliRunner()
ASK = {"reason": "Charge {{ data.n }}?", "deadline_seconds": 86_400}
ANSWERS = {"ann": lambda _: {"ok": 1}, "bob": lambda _: {"ok": 1}}
REVIEWED = {"below_confidence": 0.5, "deadline_seconds": 3600}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    """Five agents that take anything and a workflow whose one step needs a person's consent."""
    return live(monkeypatch, [workflow(step("charge", approve=ASK))], ANSWERS, review=REVIEWED)


class Desk:
    """A client of the gateway, and the read model that it looks at."""

    def __init__(self, client: httpx.AsyncClient, made: Parts, story: LiveStory) -> None:
        self._client = client
        self._made = made
        self._story = story

    async def get(self, path: str, status: int = 200, **more: Any) -> Any:
        """Read up to now, ask, and return the answer's JSON."""
        caught_up(self._made, self._story.broker)
        answer = await self._client.get(path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 202, **more: Any) -> Any:
        """Read up to now, send, and return the answer's JSON."""
        caught_up(self._made, self._story.broker)
        answer = await self._client.post(path, json=body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def desk(
    story: LiveStory, folder: Path, *, address: str = "127.0.0.1"
) -> AsyncIterator[Desk]:
    made = parts(folder, story.as_broker(), now=story.now)
    async with client_of(made, address=address) as client:
        yield Desk(client, made, story)


def printed(*arguments: str) -> Any:
    """What a command prints as JSON."""
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def start(conversation: str, n: int = 12) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"m-{conversation}",
        "type": "work.asked",
        "subject": conversation,
        "data": {"n": n},
    }


async def test_a_message_posted_is_found_again_with_all_that_became_of_it(
    story: LiveStory, tmp_path: Path
) -> None:
    """Messages, decisions, an outcome of null while a person is asked; after the answer `completed`."""
    async with desk(story, tmp_path) as at:
        sent = await at.post("/events", start("order-1"))
        waiting = await at.get(f"/conversations/{sent['conversation_id']}")
        (review,) = (await at.get("/reviews"))["reviews"]
        await at.post(f"/reviews/{review['name']}", {"decision": "approve", "resolved_by": "Kim"})
        ended = await at.get("/conversations/order-1")

    assert [one["id"] for one in waiting["messages"]] == [sent["id"]]
    assert (waiting["status"], waiting["outcome"]) == ("open", None)
    assert ended["outcome"]["status"] == ended["status"] == "completed"
    assert {one["slot"] for one in ended["decisions"]} >= {"step:charge"}
    assert ended["workflow"]["steps"][0]["status"] == "done"
    assert "Kim" in json.dumps(ended["workflow"])
    assert ended["timeline"][0]["message"]["id"] == sent["id"]


async def test_conversations_are_listed_by_pages_the_newest_first(
    story: LiveStory, tmp_path: Path
) -> None:
    """Each once over all pages, whatever is equal; by status, and none beyond the last page."""
    async with desk(story, tmp_path) as at:
        for number in range(7):
            await at.post("/events", start(f"order-{number}"))
        (await at.get("/reviews"))["reviews"]
        seen: list[str] = []
        path = "/conversations?limit=3"
        while True:
            page = await at.get(path)
            seen += [row["conversation_id"] for row in page["conversations"]]
            if page["next"] is None:
                break
            path = f"/conversations?limit=3&before={page['next']}"
        none = await at.get("/conversations?status=completed")
        opened = await at.get("/conversations?status=open&limit=500")

    assert seen == [f"order-{number}" for number in reversed(range(7))]
    assert none["conversations"] == []
    assert len(opened["conversations"]) == 7
    assert opened["conversations"][0]["type"] == "work.asked"


async def test_a_decision_is_explained_as_the_command_explains_it(
    story: LiveStory, tmp_path: Path
) -> None:
    """By the message's id and by its task's, with prompt, budgets and the agent's track record."""
    story.arrives(message("t-1", {"z": 1}, conversation="lead-9", target="ann"), at=10)
    story.at = 10
    story.go_on()
    parked(story)
    task = next(Envelope.from_json(r.value or b"") for r in story.records("agent_tasks_ann"))
    async with desk(story, tmp_path) as at:
        for name in ("t-1", "p-lead-1", task.id):
            assert await at.get(f"/decisions/{name}") == printed("explain", name)
        told = await at.get("/decisions/t-1")
        unknown = await at.get("/decisions/nobody", 404)

    assert told["details"][0]["track_record"]["answers"] == 1
    assert unknown["code"] == "SB-107"


async def test_what_waits_for_a_person_is_what_the_command_lists(
    story: LiveStory, tmp_path: Path
) -> None:
    """Steps and messages in one list, the oldest first, with the name each is answered under."""
    async with desk(story, tmp_path) as at:
        await at.post("/events", start("order-1"))
        parked(story)
        listed = (await at.get("/reviews"))["reviews"]
        commands = printed("approvals", "list")["approvals"]

    assert [{k: v for k, v in one.items() if k != "name"} for one in listed] == commands
    assert [one["kind"] for one in listed] == ["step", "message"]
    assert listed[1]["name"] == "p-lead-1"


async def test_a_message_is_given_to_the_agent_that_a_person_chooses(
    story: LiveStory, tmp_path: Path
) -> None:
    """It goes on from there; a second answer, and one for nobody, is told so."""
    parked(story)
    async with desk(story, tmp_path) as at:
        nobody = await at.post("/reviews/p-lead-1", {"decision": "approve"}, 422)
        stranger = await at.post("/reviews/p-lead-1", {"decision": "approve", "agent": "eve"}, 422)
        await at.post(
            "/reviews/lead-1", {"decision": "approve", "agent": "bob", "comment": "he can"}
        )
        again = await at.post("/reviews/p-lead-1", {"decision": "reject"}, 409)
        unknown = await at.post("/reviews/other", {"decision": "reject"}, 404)
        ended = await at.get("/conversations/lead-1")

    assert [one["agent"] for one in ended["decisions"] if one["path"] == "human"] == ["bob"]
    assert "--agent" in nobody["detail"]
    assert "eve" in stranger["detail"]
    assert "answered: bob" in again["detail"]
    assert unknown["code"] == "SB-107"


async def test_a_person_gives_an_agent_other_data(story: LiveStory, tmp_path: Path) -> None:
    """The decision names the answer that has it; with a rejection, or as what is no object, it is refused."""
    parked(story)
    given = {"decision": "approve", "agent": "bob", "data": {"z": 2}}
    async with desk(story, tmp_path) as at:
        rejected = await at.post("/reviews/p-lead-1", {"decision": "reject", "data": {"z": 2}}, 422)
        await at.post("/reviews/p-lead-1", {**given, "data": [2]}, 422)
        sent = await at.post("/reviews/p-lead-1", given)
        ended = await at.get("/conversations/lead-1")

    (decision,) = (one for one in ended["decisions"] if one["path"] == "human")
    assert (decision["agent"], decision["data_from"]) == ("bob", sent["id"])
    assert "nobody is given edited data" in rejected["detail"]


async def test_questions_that_were_answered_hide_none_that_wait(
    story: LiveStory, tmp_path: Path
) -> None:
    """However many were answered before: the list is as long as it may be."""
    async with desk(story, tmp_path) as at:
        for number in range(3):
            parked(story, f"lead-{number}")
        for name in ("p-lead-0", "p-lead-1"):
            # Their conversations go on: nobody answers for cyd.
            await at.post(f"/reviews/{name}", {"decision": "approve", "agent": "cyd"})
        listed = (await at.get("/reviews?limit=1"))["reviews"]

    assert [one["name"] for one in listed] == ["p-lead-2"]


async def test_who_decided_is_known_by_the_key(story: LiveStory, tmp_path: Path) -> None:
    """A body may say any name; the key's is beside it."""
    key = add_key(tmp_path / "keys.json", "desk-7", ["read", "decide"], AT)
    parked(story)
    async with desk(story, tmp_path, address="203.0.113.7") as at:
        named = {"decision": "reject", "resolved_by": "The Boss"}
        await at.post("/reviews/p-lead-1", named, headers={"x-api-key": key})

    resolved = [one for one in story.received if one.type == "review.resolved"]
    assert [one.data["resolved_by"] for one in resolved] == ["The Boss (desk-7)"]


def dead(story: LiveStory) -> None:
    """Two that have an envelope and one that has none."""
    for number in range(2):
        story.at += 10
        story.arrives(
            message(f"d-{number}", {"z": 1}, conversation="c-1", target="nobody"), at=story.at
        )
    broken = DeadLetter.of(
        b"{oops", topic="agent_messages", key="bob", reason="malformed_json", detail="not JSON",
        failed_at=story.now(),
    )  # fmt: skip
    story.now_ms += 10
    story.broker.producer().send("agent_messages_dlq", key=b"bob", value=broken.to_json())


async def test_dead_letters_are_listed_and_shown_raw_and_decoded(
    story: LiveStory, tmp_path: Path
) -> None:
    """By reason, with how many there are of each; a list has no values."""
    dead(story)
    async with desk(story, tmp_path) as at:
        listed = await at.get("/dead-letters")
        unknown = await at.get("/dead-letters?reason=unknown_agent&limit=1")
        more = await at.get(f"/dead-letters?reason=unknown_agent&limit=1&before={unknown['next']}")
        broken = await at.get(f"/dead-letters/{listed['dead_letters'][0]['place']}")
        whole = await at.get(f"/dead-letters/{unknown['dead_letters'][0]['place']}")
        await at.get("/dead-letters/0:999", 404)
        await at.get("/dead-letters/..%2f1", 404)

    assert listed["by_reason"] == {"unknown_agent": 2, "malformed_json": 1}
    assert {one["state"] for one in listed["dead_letters"]} == {"open"}
    assert not any("value" in one for one in listed["dead_letters"])
    assert (broken["value"], broken["decoded"]) == ("{oops", None)
    assert whole["decoded"]["id"] == "d-1"
    assert [one["dead_letters"][0]["message_id"] for one in (unknown, more)] == ["d-1", "d-0"]


async def test_a_dead_letter_is_replayed_as_it_is_or_mended(
    story: LiveStory, tmp_path: Path
) -> None:
    """A new id, its cause the original's; edits are judged like any message, and the original stays as it was."""
    dead(story)
    async with desk(story, tmp_path) as at:
        letters = {
            one.get("message_id"): one for one in (await at.get("/dead-letters"))["dead_letters"]
        }
        place = letters["d-0"]["place"]
        first = await at.post(f"/dead-letters/{place}/replay", {})
        mended = await at.post(f"/dead-letters/{place}/replay", {"message": {"target": "ann"}})
        forged = {"source": "orchestrator", "id": "mine", "causationid": "x", "target": None}
        own = await at.post(
            f"/dead-letters/{place}/replay", {"message": {**forged, "data": {"y": 1}}}
        )
        await at.post(f"/dead-letters/{place}/replay", {"message": {"type": "Not One"}}, 422)
        shown = await at.get(f"/dead-letters/{place}")

    ids = [one["replayed"][0]["id"] for one in (first, mended, own)]
    assert len(set(ids)) == 3
    sent = {one.id: one for one in story.received}
    assert [sent[name].causationid for name in ids] == ["d-0"] * 3
    assert {sent[name].source for name in ids} == {"gateway"}
    assert [sent[name].target for name in ids] == ["nobody", "ann", None]
    assert shown["decoded"]["target"] == "nobody"
    assert shown["state"] == "replayed"


async def test_what_is_no_message_is_replayed_with_what_it_should_have_been(
    story: LiveStory, tmp_path: Path
) -> None:
    """As it is it cannot be; mended it goes into the conversation of its key."""
    dead(story)
    async with desk(story, tmp_path) as at:
        place = (await at.get("/dead-letters?reason=malformed_json"))["dead_letters"][0]["place"]
        refused = await at.post(f"/dead-letters/{place}/replay", {}, 409)
        mended = {"type": "lead.submitted", "target": "ann", "data": {"lead": {}}}
        sent = await at.post(f"/dead-letters/{place}/replay", {"message": mended})
        shown = await at.get(f"/dead-letters/{place}")

    assert "not an envelope" in refused["detail"]
    assert sent["replayed"][0]["conversation"] == "bob"
    assert shown["state"] == "replayed"


async def test_all_of_a_reason_are_replayed_once(story: LiveStory, tmp_path: Path) -> None:
    """Not those that were, not those that are done with; a second time there is nothing left."""
    dead(story)
    async with desk(story, tmp_path) as at:
        letters = {
            one.get("message_id"): one for one in (await at.get("/dead-letters"))["dead_letters"]
        }
        await at.post(
            f"/dead-letters/{letters['d-1']['place']}/discard",
            {"note": "a test", "discarded_by": "Kim"},
        )
        discarded = await at.get(f"/dead-letters/{letters['d-1']['place']}")
        first = await at.post("/dead-letters/replay", {"reason": "unknown_agent"})
        second = await at.post("/dead-letters/replay", {"reason": "unknown_agent", "limit": 1})

    assert discarded["state"] == "discarded"
    assert (discarded["discarded"]["note"], discarded["discarded"]["by"]) == ("a test", "Kim")
    assert [one["original"] for one in first["replayed"]] == ["d-0"]
    # Its replay names nobody either: that is another dead letter, of another message.
    assert [one["original"] for one in second["replayed"]] == [first["replayed"][0]["id"]]


def beat(story: LiveStory, instance: str, **more: Any) -> None:
    fields = {"active": 1, "max_concurrent": 4, "handled": 9, "failed": 1, "definitions": "d"}
    one = Heartbeat(
        agent="ann", instance=instance, at=story.now(), digest="x", **{**fields, **more}
    )
    story.broker.producer().send("agent_heartbeats", key=b"ann", value=one.to_json())


async def test_agents_are_listed_with_their_processes_and_figures(
    story: LiveStory, tmp_path: Path
) -> None:
    """Tasks in hand and at most, lag, error rate, last heartbeat; a process that fell silent is not counted."""
    beat(story, "old")
    story.now_ms += 60_000
    beat(story, "a")
    beat(story, "b", active=2)
    story.at = 60_000
    story.answers_of["ann"] = lambda _: {"detail": "no"}
    story.arrives(message("t-1", {"z": 1}, conversation="lead-9", target="ann"), at=60_100)
    story.go_on()
    async with desk(story, tmp_path) as at:
        listed = {one["name"]: one for one in (await at.get("/agents"))["agents"]}
        status = await at.get("/agents/ann/status")
        await at.get("/agents/eve/status", 404)
        await at.get("/agents/Not-A-Name/status", 422)

    assert (listed["ann"]["instances"], listed["ann"]["active_tasks"]) == (2, 3)
    assert (listed["bob"]["instances"], listed["bob"]["is_silent"]) == (0, True)
    assert (status["max_concurrent"], status["lag"], status["error_rate"]) == (8, 0, 1.0)
    assert [(one["instance"], one["is_alive"]) for one in status["processes"]] == [
        ("a", True),
        ("b", True),
        ("old", False),
    ]
    assert status["track_record"]["failed"] == 1


NEW = """\
name: dora
description: Does what Dora does.
input:
  description: A thing.
  schema: {type: object, required: [thing]}
output:
  type: dora.done
  description: The thing, done.
  schema: {type: object}
handler: {http: {url: "http://127.0.0.1:9/dora"}}
"""


async def test_a_definition_is_registered_hot(story: LiveStory, tmp_path: Path) -> None:
    """By YAML or JSON; the registry has it, and the next one of the name replaces it."""
    yaml = {"content-type": "application/yaml"}
    async with desk(story, tmp_path) as at:
        client = at._client
        first = await client.post("/agents/dora/register", content=NEW, headers=yaml)
        again = await client.post("/agents/dora/register", content=NEW, headers=yaml)
        wrong = await client.post("/agents/dora/register", content="name: [", headers=yaml)
        other = await client.post("/agents/eve/register", content=NEW, headers=yaml)
        definition = (await at.get("/agents/dora/status"))["definition"]
        changed = {**definition, "description": "Does more."}
        second = await at.post("/agents/dora/register", changed, 200)
        code = {**definition, "handler": {"python": "os:system"}}
        evil = await at.post("/agents/dora/register", code, 422)
        listed = {one["name"]: one for one in (await at.get("/agents"))["agents"]}

    assert (first.status_code, first.json()["added"]) == (200, ["dora"])
    assert again.json()["added"] == again.json()["changed"] == []
    assert second["changed"] == ["dora"]
    assert listed["dora"]["description"] == "Does more."
    assert wrong.status_code == 422
    assert wrong.json()["code"] == "SB-020"
    assert "dora.yaml:1:" in wrong.json()["detail"]
    assert other.status_code == 422
    assert "allowed packages" in evil["detail"]
    assert "dora" in read_registry(story.broker, topic_prefix="").state.active.agents


async def test_an_unknown_fleet_and_a_workflow_that_would_break_are_refused(
    story: LiveStory, tmp_path: Path
) -> None:
    """Nothing changes then."""
    yaml = {"content-type": "application/yaml"}
    before = read_registry(story.broker, topic_prefix="").state
    async with desk(story, tmp_path) as at:
        answer = await at._client.post(
            "/agents/dora/register?fleet=other", content=NEW, headers=yaml
        )

    assert answer.status_code == 422
    assert "test" in answer.json()["detail"]
    assert read_registry(story.broker, topic_prefix="").state == before


async def test_ask_waits_for_the_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A prompt: the plan and the answer, as `signalbox ask --json` has them."""
    story = research(monkeypatch, tmp_path / "outbox")
    made = parts_of(tmp_path, story)
    async with client_of(made) as client, following(made, story):
        answer = await client.post("/ask", json={"prompt": "What is a signal box?"})
        empty = await client.post("/ask", json={"prompt": "  "})
        both = await client.post("/ask", json={"prompt": "x", "data": {}})

    told = answer.json()
    assert answer.status_code == 200, answer.text
    assert told["status"] == "completed"
    assert told["answer"].startswith("No model was asked.")
    assert {one["status"] for one in told["plan"]} == {"done"}
    assert (empty.status_code, both.status_code) == (422, 422)


@asynccontextmanager
async def following(made: Parts, story: LiveStory) -> AsyncIterator[None]:
    """Keep the read model up to date meanwhile."""
    import asyncio

    async def follow() -> None:
        while True:
            caught_up(made, story.broker)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()


async def test_ask_without_an_outcome_in_time_says_where_to_look(
    story: LiveStory, tmp_path: Path
) -> None:
    """504; the conversation goes on, and asked again under the same id it is the same one."""
    made = parts_of(tmp_path, story)
    question = {"type": "work.asked", "data": {"n": 1}, "id": "q-1", "timeout_seconds": 0.2}
    async with client_of(made) as client, following(made, story):
        answer = await client.post("/ask", json=question)
        again = await client.post("/ask", json=question)

    assert (answer.status_code, answer.json()["code"]) == (504, "SB-109")
    assert answer.json()["conversation_id"] == again.json()["conversation_id"]


async def test_ask_of_any_message_returns_what_the_last_agent_said(
    story: LiveStory, tmp_path: Path
) -> None:
    """The outcome with it."""
    made = parts_of(tmp_path, story)
    async with client_of(made) as client, following(made, story):
        sent = {
            "type": "thing.asked",
            "data": {"z": 1},
            "conversation": "c-7",
            "timeout_seconds": 5,
        }
        asked = asyncio_task(client.post("/ask", json=sent))
        while not any(one.type == "thing.asked" for one in story.received):
            await sleep()
        story.model_says(agent_answer("ann"), at=story.at)
        story.go_on()
        story.model_says(agent_answer("NONE"), at=story.at)
        answer = await asked

    assert answer.status_code == 200, answer.text
    assert answer.json()["answer"] == {"ok": 1}


def agent_answer(name: str) -> ChatAnswer:
    return ChatAnswer(
        text=json.dumps({"agent": name, "reason": "so", "confidence": 0.9}), model="m"
    )


def asyncio_task(request: Any) -> Any:
    import asyncio

    return asyncio.create_task(request)


async def sleep() -> None:
    import asyncio

    await asyncio.sleep(0.01)


ROUTES: list[tuple[str, str, frozenset[str]]] = [
    ("POST", "/events", frozenset({"send"})),
    ("POST", "/leads", frozenset({"send"})),
    ("POST", "/ask", frozenset({"read", "send"})),
    ("GET", "/conversations", frozenset({"read"})),
    ("GET", "/conversations/c-1", frozenset({"read"})),
    ("GET", "/decisions/m-1", frozenset({"read"})),
    ("GET", "/agents", frozenset({"read"})),
    ("GET", "/agents/ann/status", frozenset({"read"})),
    ("GET", "/flow-health", frozenset({"read"})),
    ("GET", "/metrics", frozenset({"read"})),
    ("POST", "/agents/ann/register", frozenset({"define"})),
    ("GET", "/reviews", frozenset({"read"})),
    ("POST", "/reviews/m-1", frozenset({"decide"})),
    ("GET", "/dead-letters", frozenset({"read"})),
    ("GET", "/dead-letters/0:0", frozenset({"read"})),
    ("POST", "/dead-letters/replay", frozenset({"decide"})),
    ("POST", "/dead-letters/0:0/replay", frozenset({"decide"})),
    ("POST", "/dead-letters/0:0/discard", frozenset({"decide"})),
]
"""Every route, and the scopes without which it is refused."""
BODIES: Mapping[str, Any] = {
    "/reviews/m-1": {"decision": "reject"},
    "/dead-letters/replay": {"reason": "late"},
    "/dead-letters/0:0/replay": {},
    "/dead-letters/0:0/discard": {},
}


async def test_every_route_needs_its_scopes_and_no_others(story: LiveStory, tmp_path: Path) -> None:
    """A key without one of them is refused, whatever else it may; without any key nothing is told."""
    made = parts_of(tmp_path, story)
    keys = {scope: add_key(tmp_path / "keys.json", f"no-{scope}", set(SCOPES) - {scope}, AT) for scope in SCOPES}  # fmt: skip
    async with client_of(made, address="203.0.113.7", connected=False) as client:
        known = {
            (method.upper(), path)
            for path, operations in client._transport.app.openapi()["paths"].items()  # type: ignore[attr-defined]
            for method in operations
        }
        for method, path, needed in ROUTES:
            body = {"json": BODIES.get(path, {})} if method == "POST" else {}
            bare = await client.request(method, path, **body)
            assert bare.status_code == 401, path
            for scope, key in keys.items():
                answer = await client.request(method, path, headers={"x-api-key": key}, **body)
                assert (answer.status_code == 403) == (scope in needed), (path, scope, answer.text)

    assert len(ROUTES) == len(known - {("GET", "/health")})


async def test_before_the_read_model_is_there_everything_else_works(
    story: LiveStory, tmp_path: Path
) -> None:
    """503 with a code of its own; messages are taken."""
    made = parts(tmp_path, story.as_broker(), now=story.now)
    async with client_of(made) as client:
        refused = await client.get("/conversations")
        taken = await client.post("/leads", json={"name": "Ada"})

    assert (refused.status_code, refused.json()["code"]) == (503, "SB-111")
    assert refused.headers["retry-after"] == "1"
    assert taken.status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/conversations?limit=0",
        "/conversations?limit=999999",
        "/conversations?limit=x",
        "/conversations?before=x",
        "/conversations?before=99999999999999999999~a",
        "/conversations?status=none%27%3B--",
        "/dead-letters?reason=bad",
        "/dead-letters?before=-1~0",
    ],
)
async def test_parameters_that_cannot_be_are_named(
    story: LiveStory, tmp_path: Path, path: str
) -> None:
    """422 in the same form as everything else."""
    async with desk(story, tmp_path) as at:
        told = await at.get(path, 422)

    assert told["code"] == "SB-101"
    assert told["remedy"]


async def test_an_id_with_a_slash_is_found_under_the_address_that_was_answered(
    story: LiveStory, tmp_path: Path
) -> None:
    """Conversations, decisions and reviews: an id may be whatever its sender calls it."""
    parked(story, "orders/17")
    async with desk(story, tmp_path) as at:
        conversation = await at.get("/conversations/orders%2F17")
        explained = await at.get("/decisions/p-orders%2F17")
        decided = await at.post("/reviews/p-orders%2F17", {"decision": "reject"})

    assert conversation["conversation_id"] == "orders/17"
    assert explained["message_id"] == "p-orders/17"
    assert decided["conversation_id"] == "orders/17"


async def test_a_number_beyond_64_bits_is_shown(story: LiveStory, tmp_path: Path) -> None:
    """One message with such a number must not hide everything that waits beside it."""
    story.at += 100
    parked(story)
    raw = message("b-1", {"z": 1}, conversation="c-big").to_json()
    raw = raw.replace(b'"z":1', b'"z":' + b"9" * 30)
    story.broker.producer().send("agent_messages", key=b"c-big", value=raw)
    decided = Decision(
        message_id="b-1", slot="route", conversation_id="c-big", hop=1, agent="bob", path="contract",
        reason="r", definitions_digest="d", decided_at=story.now(),
    )  # fmt: skip
    story.broker.producer().send("agent_decisions", key=b"c-big", value=decided.to_json())
    async with desk(story, tmp_path) as at:
        shown = await at.get("/conversations/c-big")
        explained = await at.get("/decisions/b-1")

    assert shown["messages"][0]["data"]["z"] == pytest.approx(1e30)
    assert explained["message"]["data"]["z"] == pytest.approx(1e30)
    assert [one["agent"] for one in explained["decisions"]] == ["bob"]


async def test_a_dead_letter_too_deep_to_decode_is_shown_raw(
    story: LiveStory, tmp_path: Path
) -> None:
    """It is dead for just that."""
    raw = b"[" * 300 + b"]" * 300
    deep = DeadLetter.of(
        raw, topic="agent_messages", key="bob", reason="malformed_json", detail="deep",
        failed_at=story.now(),
    )  # fmt: skip
    story.broker.producer().send("agent_messages_dlq", key=b"bob", value=deep.to_json())
    async with desk(story, tmp_path) as at:
        place = (await at.get("/dead-letters"))["dead_letters"][0]["place"]
        shown = await at.get(f"/dead-letters/{place}")

    assert (shown["value"], shown["decoded"]) == (raw.decode(), None)


async def test_a_place_written_otherwise_is_the_same_place(
    story: LiveStory, tmp_path: Path
) -> None:
    """What is acknowledged as discarded is discarded."""
    dead(story)
    async with desk(story, tmp_path) as at:
        place = (await at.get("/dead-letters"))["dead_letters"][0]["place"]
        partition, offset = place.split(":")
        shown = await at.get(f"/dead-letters/0{partition}:0{offset}")
        await at.post(f"/dead-letters/0{partition}:0{offset}/discard", {})
        after = await at.get(f"/dead-letters/{place}")

    assert shown["place"] == place
    assert after["state"] == "discarded"


async def test_no_name_is_so_long_that_the_keys_name_falls_off(
    story: LiveStory, tmp_path: Path
) -> None:
    """Who says that somebody else decided is still known."""
    key = add_key(tmp_path / "keys.json", "desk-7", ["decide"], AT)
    parked(story)
    async with desk(story, tmp_path, address="203.0.113.7") as at:
        named = {"decision": "reject", "resolved_by": "x" * 200}
        await at.post("/reviews/p-lead-1", named, headers={"x-api-key": key})

    (resolved,) = [one for one in story.received if one.type == "review.resolved"]
    assert resolved.data["resolved_by"].endswith(" (desk-7)")
    assert len(resolved.data["resolved_by"]) <= 200


async def test_a_message_is_replayed_under_a_new_id_each_time(
    story: LiveStory, tmp_path: Path
) -> None:
    """Also after more than twenty times: an id that was there would be dropped without a word."""
    dead(story)
    async with desk(story, tmp_path) as at:
        letters = (await at.get("/dead-letters"))["dead_letters"]
        place = next(one["place"] for one in letters if one.get("message_id") == "d-0")
        ids = [
            (await at.post(f"/dead-letters/{place}/replay", {}))["replayed"][0]["id"]
            for _ in range(22)
        ]

    assert len(set(ids)) == 22


async def test_a_file_that_is_locked_is_a_503(
    story: LiveStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its consumer may be mending it after a crash; a moment later it is there."""
    import sqlite3

    def at_once(path: Path) -> sqlite3.Connection:
        connection = schema.open_to_read(path)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    monkeypatch.setattr(tables, "open_to_read", at_once)
    async with desk(story, tmp_path) as at:
        await at.get("/conversations")
        holder = sqlite3.connect(tmp_path / "readmodel" / "0.sqlite", isolation_level=None)
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        refused = await at._client.get("/conversations")
        holder.close()
        await at.get("/conversations")

    assert (refused.status_code, refused.json()["code"]) == (503, "SB-111")


async def test_ask_again_under_its_id_after_the_answer_is_answered_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever lost the connection asks again: it is the same message, though sent at another time."""
    story = research(monkeypatch, tmp_path / "outbox")
    made = parts_of(tmp_path, story)
    question = {"prompt": "What is a signal box?", "id": "q-1", "timeout_seconds": 20}
    async with client_of(made) as client, following(made, story):
        first = await client.post("/ask", json=question)
        story.at += 60_000
        story.now_ms += 60_000
        again = await client.post("/ask", json={**question, "timeout_seconds": 2})

    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.json()["answer"] == first.json()["answer"]


async def test_no_more_wait_for_answers_than_can_be_served(
    story: LiveStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429, before anything is sent; what waits takes nothing from the others."""
    monkeypatch.setattr(asking, "MAX_WAITING", 1)
    made = parts_of(tmp_path, story)
    question = {"type": "work.asked", "data": {"n": 1}, "timeout_seconds": 1}
    async with client_of(made) as client:
        both = [asyncio_task(client.post("/ask", json={**question, "id": f"q-{n}"})) for n in "12"]
        statuses = sorted([(await one).status_code for one in both])
        after = await client.post("/ask", json={**question, "timeout_seconds": 0.1})

    assert statuses == [429, 504]
    assert after.status_code == 504
    assert len({one.id for one in story.received if one.id in {"q-1", "q-2"}}) == 1


async def test_who_waits_for_an_answer_reads_a_conversation_again_only_when_it_has_changed(
    story: LiveStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long conversation is not parsed ten times a second."""
    made = parts_of(tmp_path, story)
    reads: list[str] = []
    read = queries.ReadModel.facts

    def counted(self: queries.ReadModel, name: str) -> Any:
        reads.append(name)
        return read(self, name)

    monkeypatch.setattr(queries.ReadModel, "facts", counted)
    async with client_of(made) as client:
        question = {"type": "work.asked", "data": {"n": 1}, "timeout_seconds": 1}
        assert (await client.post("/ask", json=question)).status_code == 504

    assert len(reads) <= 1
