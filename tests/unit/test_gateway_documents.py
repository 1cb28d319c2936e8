"""The API's documents: pinned, whole in themselves, and true: requests made of them meet no error that they do not name."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.specs import FleetPolicy
from signalbox.gateway.app import create_app
from signalbox.gateway.documents import FOLDER, documents, text_of
from signalbox.local_stack import ports
from signalbox.topics import AGENT_TASKS_PREFIX, TOPICS
from tests.support.fleets import message
from tests.support.gateway import caught_up, parts
from tests.support.recorded_run import RecordedRun, Wild
from tests.unit.test_readmodel import FLEET


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return documents()


def test_the_documents_are_what_the_code_says(made: dict[str, dict[str, Any]]) -> None:
    """The files in the repository are those that `make docs` writes."""
    assert sorted(path.name for path in FOLDER.glob("*.json")) == sorted(made)
    for name, document in made.items():
        assert (FOLDER / name).read_text("utf-8") == text_of(document), name


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_every_reference_leads_somewhere(made: dict[str, dict[str, Any]], name: str) -> None:
    """Within the document; a schema that is embedded whole refers to itself."""
    document = made[name]

    def look(part: Any, root: Any) -> None:
        if isinstance(part, dict):
            inner = part if "$defs" in part else root
            if isinstance(reference := part.get("$ref"), str):
                found = inner if reference.startswith("#/$defs") else document
                for key in reference.removeprefix("#/").split("/"):
                    found = found[key]
            for value in part.values():
                look(value, inner)
        elif isinstance(part, list):
            for value in part:
                look(value, root)

    look(document, document)


def test_every_topic_is_a_channel_with_its_limits(made: dict[str, dict[str, Any]]) -> None:
    """Nothing is listed that does not exist, and nothing is left out."""
    channels = {one["address"]: one for one in made["asyncapi.json"]["channels"].values()}

    assert channels.keys() == TOPICS.keys() | {f"{AGENT_TASKS_PREFIX}{{agent}}"}
    for name, spec in TOPICS.items():
        binding = channels[name]["bindings"]["kafka"]
        assert binding["partitions"] == spec.partitions
        assert binding["topicConfiguration"]["retention.ms"] == spec.retention_ms


def test_every_operation_names_its_problems_and_takes_keys(
    made: dict[str, dict[str, Any]],
) -> None:
    """All but the probe's."""
    for path, operations in made["openapi.json"]["paths"].items():
        for operation in operations.values():
            if path != "/health":
                assert {"401", "403", "429", "503"} <= operation["responses"].keys(), path
                assert {"bearer": []} in operation["security"]


class Served:
    """A gateway on a port of this machine, in a thread, over a broker in memory where much has happened."""

    def __init__(self, folder: Any) -> None:
        policy = {"name": "test", "review": {"below_confidence": 0.5, "deadline_seconds": 3600}}
        run = RecordedRun(FLEET.with_policies({"test": FleetPolicy.model_validate(policy)}))
        Wild(run, tuple(FLEET.agents), seed=5).go(200)
        run.send(message("m-1", {"lead": 1}, conversation="c-1"))
        run.send(message("p-1", {"lead": 1}, conversation="parked"))
        run.model_says("parked", "alpha", confidence=0.2)
        parts_ = parts(folder, run.broker, now=lambda: from_epoch_ms(run.now_ms))
        caught_up(parts_, run.broker)
        self.port = ports.free_port()
        config = uvicorn.Config(
            create_app(parts_), port=self.port, log_level="error", ws="none", loop="asyncio"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("served"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def api(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


OPERATIONS = [
    (path, method)
    for path, operations in documents()["openapi.json"]["paths"].items()
    for method in operations
    if path != "/ask"  # it waits for an outcome
]


RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
NOTHING_TO_GET_WRONG = {"/agents", "/health", "/metrics"}


@pytest.mark.parametrize("mode", [RIGHT, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_requests_made_of_the_document_meet_what_it_says(
    api: Any, path: str, method: str, mode: Any
) -> None:
    """Right ones and wrong ones: no server error, and no status, type or body that is not in the document."""
    if mode is WRONG and path in NOTHING_TO_GET_WRONG:
        return

    @given(case=api[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def holds(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=30)

    holds()


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/conversations/{conversation_id}", {"conversation_id": "c-1"}),
        ("/decisions/{message_id}", {"message_id": "m-1"}),
        ("/agents/{name}/status", {"name": "alpha"}),
        ("/conversations", {}),
        ("/agents", {}),
        ("/dead-letters", {}),
        ("/reviews", {}),
    ],
)
def test_what_is_known_is_shown_in_the_form_that_the_document_says(
    api: Any, path: str, known: dict[str, str]
) -> None:
    """Every answer of 200 with something in it."""
    case = api[path]["get"].Case(path_parameters=known)
    answer = case.call(timeout=30)

    assert answer.status_code == 200, answer.text
    case.validate_response(answer, checks=CHECKS)
    assert len(answer.text) > 40


def test_a_problem_is_what_the_document_says(served: Served) -> None:
    """An example of each form of refusal over a real socket."""
    import httpx

    url = f"http://127.0.0.1:{served.port}"
    for answer in (
        httpx.post(f"{url}/events", content=b"{oops", headers={"content-type": "application/json"}),
        httpx.post(f"{url}/events", content=b"x" * 10_000_000),
        httpx.get(f"{url}/conversations?limit=0"),
        httpx.get(f"{url}/conversations/nobody"),
    ):
        told = json.loads(answer.content)
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail", "remedy"} <= told.keys()
        assert told["status"] == answer.status_code
