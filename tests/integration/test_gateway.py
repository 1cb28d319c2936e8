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

from connectors.kafka import KafkaBroker
from connectors.topic_reader import read_topic
from signalbox.contracts.envelope import Envelope
from signalbox.local_stack import ports
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.process import ManagedProcess, ProcessSpec
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from tests.support.fleets import agent, reply
from tests.support.running_job import AGENTS, RunningJob

pytestmark = pytest.mark.integration
PATIENCE_SECONDS = 60.0


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

    (record,) = job.wait_for(
        job.tasks("alpha"),
        lambda found: any(json.loads(r.value)["subject"] == sent["conversation_id"] for r in found),
    )[-1:]
    assert json.loads(record.value)["causationid"] == replayed["replayed"][0]["id"]
    eventually(
        lambda: caller.get(f"/dead-letters/{place}"), lambda found: found.get("state") == "replayed"
    )


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
