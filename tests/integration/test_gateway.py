"""The gateway's processes beside the real job: a lead goes in by POST and its conversation comes out; the broker dies."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from connectors.kafka import KafkaBroker
from connectors.topic_reader import read_topic
from signalbox.contracts.envelope import Envelope
from signalbox.local_stack import ports
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.process import ManagedProcess, ProcessSpec
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from tests.support.browser import PATIENCE_MS, browser_page, picture
from tests.support.fleets import agent, reply
from tests.support.running_job import AGENTS, RunningJob

pytestmark = pytest.mark.integration
PATIENCE_SECONDS = 60.0
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def processes(settings: Settings, folder: Path, *modules: str) -> Iterator[None]:
    """Run modules as the stack runs them."""
    with ExitStack() as running:
        for module in modules:
            spec = ProcessSpec(
                name=module,
                argv=(sys.executable, "-m", module),
                log_path=folder / f"{module}.log",
                environ=environment_of(settings),
                ready=partial(_is_ready, settings, module),
            )
            process = ManagedProcess.start(spec)
            running.callback(process.stop)
            process.wait_ready()
        yield


def _is_ready(settings: Settings, module: str) -> bool:
    return module != "signalbox.gateway" or ports.is_listening(settings.gateway.port)


def eventually(ask: Callable[[], Any], is_right: Callable[[Any], bool]) -> Any:
    """Ask until the answer is right.

    Raises:
        AssertionError: it never was; with the last one.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_right(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


class Caller:
    """A client of a gateway on this machine."""

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def post(self, path: str, body: Any, status: int = 202, **more: Any) -> Any:
        answer = self._http.post(path, json=body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self._http.get(path)
        return answer.json() if answer.status_code == 200 else {}

    def status(self, path: str, **more: Any) -> int:
        return (
            self._http.post(path, **more).status_code if more else self._http.get(path).status_code
        )


@pytest.fixture(scope="module")
def job(broker: TemporaryBroker, cluster: TemporaryCluster) -> Iterator[RunningJob]:
    """The job with three agents, none of which has a process: the tests answer for them."""
    prefix = f"gw{uuid.uuid4().hex[:8]}."
    with RunningJob(broker, cluster, prefix, gateway={"port": ports.free_port()}) as running:
        running.apply(*AGENTS)
        running.start()
        yield running


@pytest.fixture(scope="module")
def caller(job: RunningJob, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """The gateway and its read model as processes."""
    modules = ("signalbox.gateway", "signalbox.gateway.readmodel")
    with processes(job.settings, tmp_path_factory.mktemp("gateway"), *modules):
        made = Caller(job.settings.gateway.port)
        eventually(lambda: made.status("/health"), lambda status: status == 200)
        yield made


def test_a_lead_posted_is_decided_answered_and_shown(job: RunningJob, caller: Caller) -> None:
    """Message, decision, task, answer and outcome, with the explanation of each decision."""
    sent = caller.post("/events", {"a": 1}, headers={"ce-type": "thing.asked"})
    (record,) = job.wait_for(job.tasks("alpha"), lambda found: len(found) >= 1)
    task = Envelope.from_json(record.value)
    job.send(reply(task, {"done": True}))

    place = f"/conversations/{sent['conversation_id']}"
    shown = eventually(lambda: caller.get(place), lambda found: found.get("outcome"))
    explained = caller.get(f"/decisions/{sent['id']}")

    assert next(one["id"] for one in shown["messages"]) == sent["id"]
    assert [one["agent"] for one in shown["decisions"]] == ["alpha", "NONE"]
    assert shown["outcome"]["status"] == "none"
    assert explained["decisions"][0]["agent"] == "alpha"
    assert explained["details"][0]["definitions"] == {"is_known": True, "is_active": True}
    eventually(
        lambda: caller.get(f"/decisions/{task.id}"),
        lambda found: found.get("message_id") == sent["id"],
    )


def test_a_retry_is_admitted_once(job: RunningJob, caller: Caller) -> None:
    """The client's id makes the second one a duplicate: one decision, one task."""
    named = {"ce-type": "thing.asked", "ce-id": "retry-1"}
    sent = [caller.post("/events", {"a": 2}, headers=named) for _ in range(3)]
    place = f"/conversations/{sent[0]['conversation_id']}"
    eventually(lambda: caller.get(place), lambda found: len(found.get("messages", ())) == 3)
    marker = caller.post(
        "/events", {"nobody": 1}, headers={"ce-subject": sent[0]["conversation_id"]}
    )
    shown = eventually(
        lambda: caller.get(place),
        lambda found: any(one["message_id"] == marker["id"] for one in found["decisions"]),
    )

    assert [one["message_id"] for one in shown["decisions"]].count("retry-1") == 1


def test_an_agent_registered_over_http_gets_the_next_message(
    job: RunningJob, caller: Caller
) -> None:
    """Hot: no restart, its topic made first, its task topic followed."""
    definition = agent("delta", ["d"]).as_json()
    definition["handler"] = {"http": {"url": "http://127.0.0.1:9/delta"}}
    made = caller.post("/agents/delta/register", definition, 200)
    sent = caller.post("/events", {"d": 1}, headers={"ce-type": "thing.asked"})
    place = f"/conversations/{sent['conversation_id']}"
    shown = eventually(lambda: caller.get(place), lambda found: found.get("decisions"))

    assert made["added"] == ["delta"]
    assert [one["agent"] for one in shown["decisions"]] == ["delta"]
    status = eventually(
        lambda: caller.get("/agents/delta/status"), lambda found: found.get("open_tasks") == 1
    )
    assert (status["lag"], status["instances"], status["is_silent"]) == (1, 0, True)


def test_a_dead_letter_mended_over_http_is_delivered(job: RunningJob, caller: Caller) -> None:
    """Listed with its reason, replayed to an agent that exists."""
    sent = caller.post(
        "/events", {"a": 3}, headers={"ce-type": "thing.asked", "ce-target": "nobody"}
    )
    listed = eventually(
        lambda: caller.get(f"/dead-letters?conversation={sent['conversation_id']}"),
        lambda found: found.get("dead_letters"),
    )
    place = listed["dead_letters"][0]["place"]
    replayed = caller.post(f"/dead-letters/{place}/replay", {"message": {"target": "alpha"}})

    task = task_in(job, "alpha", sent["conversation_id"])
    assert task.causationid == replayed["replayed"][0]["id"]
    eventually(
        lambda: caller.get(f"/dead-letters/{place}"), lambda found: found.get("state") == "replayed"
    )


def task_in(job: RunningJob, agent: str, conversation: str) -> Envelope:
    """Wait for a task of an agent in a conversation, and return the newest."""

    def own(records: list[Any]) -> list[Envelope]:
        found = [Envelope.from_json(record.value) for record in records]
        return [one for one in found if one.subject == conversation]

    return own(job.wait_for(job.tasks(agent), lambda found: bool(own(found))))[-1]


def test_a_review_approved_in_the_inbox_goes_on(job: RunningJob, caller: Caller) -> None:
    """In a browser: it comes up by itself, is given to an agent with a note and other data, and the agent has that."""
    sent = caller.post("/events", {"a": 1}, headers={"ce-type": "thing.asked"})
    conversation = sent["conversation_id"]
    task = task_in(job, "alpha", conversation)
    with browser_page(job.settings.gateway.port) as page:
        page.goto("/ui/inbox")
        expect(page.get_by_text("Nothing waits for a person.")).to_be_visible()
        question = {"reason": "<i>beta</i> or gamma?", "data": {"b": 1}}
        job.send(reply(task, question, kind="task.escalated"))
        row = page.get_by_role("row").filter(has_text=conversation)
        expect(row).to_contain_text("<i>beta</i> or gamma?")
        row.get_by_role("link", name="who gets").click()
        page.get_by_label("Who gets it").select_option("beta")
        page.get_by_text("Edit the data first").click()
        edited = page.get_by_label("What the agent is given")
        assert json.loads(edited.input_value()) == {"b": 1}
        edited.fill('{\n  "b": 2\n}')
        page.get_by_label("Note").fill("he knows them")
        page.get_by_label("Your name").fill("Kim")
        picture(page, "inbox")
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_text("Given to beta, on edited data.")).to_be_visible()
        answered = "answered: beta, Kim decided on edited data: he knows them"
        expect(page.locator("#state")).to_contain_text(answered)
        page.get_by_role("link", name="Follow the conversation").click()
        expect(page.locator("details.hop").last).to_contain_text("human")

    assert task_in(job, "beta", conversation).data == {"b": 2}


def test_a_dead_letter_edited_and_replayed_is_delivered(job: RunningJob, caller: Caller) -> None:
    """In a browser: found by its reason, its target mended, sent; the agent has the task, the page shows both."""
    headers = {"ce-type": "thing.asked", "ce-target": "nobody"}
    sent = caller.post("/events", {"a": "mend me"}, headers=headers)
    conversation = sent["conversation_id"]
    with browser_page(job.settings.gateway.port, provoked=422) as page:
        page.goto("/ui/dead-letters")
        page.get_by_role("link", name="unknown agent").click()
        row = page.get_by_role("row").filter(has_text=conversation)
        row.get_by_role("link").first.click()
        page.get_by_text("Mend it first").click()
        edited = page.get_by_label("Type, target and data")
        picture(page, "dead-letter")
        assert json.loads(edited.input_value())["target"] == "nobody"
        edited.fill("{oops")
        page.get_by_role("button", name="Replay edited").click()
        expect(page.get_by_role("alert")).to_contain_text("not JSON")
        edited.fill('{"type": "thing.asked", "target": "alpha", "data": {"a": "mended"}}')
        page.get_by_role("button", name="Replay edited").click()
        expect(page.locator("#said")).to_contain_text("Sent again")
        expect(page.locator("#state")).to_have_text("replayed")
        expect(page.locator("#notice")).to_be_empty()
        expect(page.locator("pre").first).to_contain_text("mend me")

    task = task_in(job, "alpha", conversation)
    assert (task.data, task.target) == ({"a": "mended"}, "alpha")


def test_all_of_a_reason_are_replayed_after_a_question(job: RunningJob, caller: Caller) -> None:
    """In a browser: `no` sends nothing; `yes` sends them all, and the agents' page shows their tasks by itself."""
    sent = [
        caller.post("/events", {"a": n}, headers={"ce-type": "thing.asked", "ce-target": "late"})
        for n in range(2)
    ]
    with browser_page(job.settings.gateway.port) as page:
        page.goto("/ui/dead-letters?reason=unknown_agent")
        for one in sent:
            expect(page.get_by_role("row").filter(has_text=one["conversation_id"])).to_be_visible()
        questions: list[str] = []
        page.once("dialog", lambda asked: (questions.append(asked.message), asked.dismiss()))
        page.get_by_role("button", name="Replay all 2").click()
        page.once("dialog", lambda asked: (questions.append(asked.message), asked.accept()))
        page.get_by_role("button", name="Replay all 2").click()
        expect(page.locator("#said")).to_contain_text("2 sent again")
        page.goto("/ui/agents")
        expect(page.get_by_role("row").filter(has_text="alpha")).to_contain_text("silent")
        page.get_by_role("link", name="alpha").click()
        expect(page.locator("#status")).to_contain_text("No process sent a heartbeat")

    assert questions == ["Send 2 dead letters of unknown_agent once more?"] * 2


def test_while_the_broker_is_dead_nothing_is_acknowledged_and_it_recovers_by_itself(
    tmp_path: Path,
) -> None:
    """503 until it is back, then 202 again without a restart; what was acknowledged is on the topic, once."""
    with TemporaryBroker(tmp_path) as own:
        settings = own.settings(gateway={"port": ports.free_port(), "ack_seconds": 2})
        with processes(settings, tmp_path, "signalbox.gateway"):
            caller = Caller(settings.gateway.port)
            eventually(lambda: caller.status("/health"), lambda status: status == 200)
            acknowledged = [caller.post("/leads", {"n": 1})["id"]]
            own.kill()
            statuses = [caller.status("/leads", json={"n": 2}) for _ in range(3)]
            own.start()
            eventually(lambda: caller.status("/health"), lambda status: status == 200)
            acknowledged.append(caller.post("/leads", {"n": 3})["id"])
        written = [
            Envelope.from_json(record.value or b"").id
            for record in read_topic(KafkaBroker(own.bootstrap_servers), "agent_messages")
        ]

    assert statuses == [503] * 3
    assert [written.count(one) for one in acknowledged] == [1, 1]
