"""Handlers from definitions: what may be imported, what a prompt may do, and what an endpoint's answers mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.answer_schema import asked_schema, fill
from agents.handlers import handler_from, python_handler
from agents.http_handler import HttpHandler
from agents.result import HandlerResult, Reply, Retry, Terminal
from agents.task import Context, Task
from agents.templates import render
from connectors.chat_model import ChatModel
from connectors.scripted_model import Said, ScriptedChatModel
from signalbox.definitions.specs import AgentDefinition, HttpSpec
from signalbox.errors import ConfigurationError, RetryableError, TerminalError
from tests.support.tasks import NOW, context_of, task_of


def definition(handler: dict[str, Any], **output: Any) -> AgentDefinition:
    """An agent that answers `{order, verdict, decided_by}`; the order is carried over."""
    return AgentDefinition.model_validate(
        {
            "name": "judge",
            "description": "Judges an order.",
            "input": {"description": "An order.", "schema": {"type": "object"}},
            "output": {
                "type": "order.judged",
                "description": "A verdict.",
                "schema": {
                    "type": "object",
                    "required": ["order", "verdict", "decided_by"],
                    "properties": {
                        "order": {"type": "object", "x-from": "/data/order"},
                        "verdict": {"type": "string"},
                        "decided_by": {"type": "string", "x-from": "/model"},
                        "kind": {"const": "verdict"},
                        **output,
                    },
                },
            },
            "handler": handler,
        }
    )


PROMPT = {"prompt": {"system": "Judge.", "user": "Order {{ data.order.number }}"}}
DATA = {"order": {"number": 7}}


def ask(
    handler: Callable[[Task, Context], Awaitable[HandlerResult]], model: ChatModel | None = None
) -> HandlerResult:
    """Handle one order."""
    context = context_of(Path("/nonexistent"), model)

    async def call() -> HandlerResult:
        return await handler(task_of(DATA), context)

    return asyncio.run(call())


# --- python -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "os:system",
        "subprocess:run",
        "builtins:eval",
        "agentsx.evil:run",
        "agents.outbox:os",
        "agents.outbox:Outbox",
        "agents.templates:lru_cache",
        "agents.outbox:nothing",
        "agents.no_such_module:run",
    ],
)
def test_python_handler_outside_the_allowed_packages_is_refused(reference: str) -> None:
    """Only functions that our own packages define can be handlers, not what they import."""
    with pytest.raises(ConfigurationError, match="handler"):
        python_handler(reference)


def test_python_handler_of_a_refused_package_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module outside is refused by name, before its code could run."""
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ConfigurationError, match="outside the allowed packages"):
        python_handler("evil_module:run")


@pytest.fixture
def users_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of a user's own handlers."""
    package = tmp_path / "users_handlers_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text(
        "import threading\n"
        "async def as_mapping(task, context):\n    return {'answer': task.data['order']}\n"
        "def blocking(task, context):\n"
        "    return {'thread': threading.current_thread() is threading.main_thread()}\n"
        "async def nonsense(task, context):\n    return 42\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return package.name


def test_python_handler_returning_a_mapping_replies(users_package: str) -> None:
    """A mapping is a reply of that data."""
    handle = python_handler(f"{users_package}.work:as_mapping", packages=(users_package,))

    assert ask(handle) == Reply(data={"answer": {"number": 7}})


def test_python_handler_that_blocks_runs_in_a_thread(users_package: str) -> None:
    """An ordinary function does not hold up the others."""
    handle = python_handler(f"{users_package}.work:blocking", packages=(users_package,))

    assert ask(handle) == Reply(data={"thread": False})


def test_python_handler_returning_nonsense_is_terminal(users_package: str) -> None:
    """What is no result is said, with what would be one."""
    result = ask(python_handler(f"{users_package}.work:nonsense", packages=(users_package,)))

    assert isinstance(result, Terminal)
    assert "returned int" in result.detail


# --- prompt -----------------------------------------------------------------------------------------------------------


def test_prompt_handler_asks_only_for_what_is_not_known() -> None:
    """The model sees a closed, bounded schema without what code fills in, and the answer is whole."""
    model = ScriptedChatModel({"judge": {"verdict": "fine"}})
    result = ask(handler_from(definition(PROMPT)), model)

    assert isinstance(result, Reply)
    assert result.data == {
        "order": {"number": 7},
        "verdict": "fine",
        "decided_by": "scripted",
        "kind": "verdict",
    }
    assert model.requests[0].user == "Order 7"
    assert model.requests[0].schema == {
        "type": "object",
        "required": ["verdict"],
        "additionalProperties": False,
        "properties": {"verdict": {"type": "string", "maxLength": 2000}},
    }


def test_prompt_handler_given_an_unusable_answer_asks_once_more() -> None:
    """One repair attempt names what was wrong."""
    answers: Iterator[Said] = iter(["garbage", {"verdict": "fine"}])
    model = ScriptedChatModel(lambda request: next(answers))
    result = ask(handler_from(definition(PROMPT)), model)

    assert isinstance(result, Reply)
    assert "it is not JSON" in model.requests[1].user


@pytest.mark.parametrize("said", ["garbage", "[]", {"verdict": 3}, {}, {"verdict": "x", "more": 1}])
def test_prompt_handler_given_unusable_answers_twice_gives_up(said: Any) -> None:
    """After the repair attempt the task is a dead letter, not a guess."""
    model = ScriptedChatModel({"judge": said})
    result = ask(handler_from(definition(PROMPT)), model)

    assert isinstance(result, Terminal)
    assert result.reason == "output_contract_violated"
    assert len(model.requests) == 2


def test_prompt_handler_lets_a_retryable_failure_through() -> None:
    """A model that is away is the runner's to wait for."""
    model = ScriptedChatModel({"judge": RetryableError("away", retry_after_seconds=3)})

    with pytest.raises(RetryableError):
        ask(handler_from(definition(PROMPT)), model)


def test_prompt_handler_without_a_model_or_function_says_what_to_set() -> None:
    """The embedded model writes nothing; the remedy is named."""
    result = ask(handler_from(definition(PROMPT)))

    assert isinstance(result, Terminal)
    assert "SIGNALBOX_MODEL__PROVIDER" in result.detail


@pytest.mark.parametrize(
    "template",
    [
        "{{ data.missing }}",
        "{{ data.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ range(10) }}",
        "{{ data.order.update({'number': 8}) }}",
        "{% for x in %}",
    ],
)
def test_template_leaving_its_sandbox_is_terminal(template: str) -> None:
    """A missing value, an attribute of Python's own, a global or a change of the data ends the task."""
    with pytest.raises(TerminalError, match="template"):
        render(template, data=DATA)


def test_template_never_compiles_data() -> None:
    """Braces in a message are text."""
    assert render("{{ text }}", text="{{ 7 * 7 }}{% raw %}") == "{{ 7 * 7 }}{% raw %}"


def test_fill_overwrites_what_a_model_said_about_known_fields() -> None:
    """What is copied or constant is never the model's."""
    schema = {
        "type": "object",
        "properties": {
            "mails": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"to": {"x-from": "/data/to"}, "text": {}},
                },
            },
            "kind": {"const": "k"},
            "gone": {"x-from": "/data/nothing"},
        },
    }
    answer = {"mails": [{"to": "evil", "text": "t"}], "kind": "other", "gone": "evil"}

    assert fill(schema, answer, {"data": {"to": "good"}}) == {
        "mails": [{"to": "good", "text": "t"}],
        "kind": "k",
    }


def test_asked_schema_bounds_every_string() -> None:
    """A string without a bound gets one; a bound that is there stays."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string", "maxLength": 5}},
        "required": ["a"],
    }

    assert asked_schema(schema)["properties"] == {
        "a": {"type": "string", "maxLength": 2000},
        "b": {"type": "string", "maxLength": 5},
    }


# --- http -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def endpoint(status: int, body: bytes, headers: str = "", *, hangs: bool = False) -> Any:
    """A loopback endpoint that gives every request the same answer; yields its URL and what it was sent."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        seen.append(head + await reader.readexactly(length))
        if not hangs:
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
                + body
            )
            await writer.drain()
        else:
            await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/judge", seen
    finally:
        server.close()


def post(
    status: int, body: bytes, headers: str = "", *, hangs: bool = False, timeout_seconds: float = 5
) -> Any:
    """Handle one order by an endpoint; return the result and what the endpoint saw."""

    async def call() -> Any:
        async with endpoint(status, body, headers, hangs=hangs) as (url, seen):
            handler = HttpHandler(
                HttpSpec(url=url, headers={"x-team": "orders"}), timeout_seconds=timeout_seconds
            )
            return await handler(task_of(DATA), context_of(Path("/nonexistent"))), seen

    return asyncio.run(call())


def test_http_handler_posts_the_envelope_and_replies_with_the_answer() -> None:
    """The endpoint is given the whole task, and its id to recognise a repetition by."""
    result, seen = post(200, b'{"verdict": "fine"}')
    head, _, body = seen[0].partition(b"\r\n\r\n")

    assert result == Reply(data={"verdict": "fine"})
    assert json.loads(body)["data"] == DATA
    assert b"idempotency-key: task-1" in head.lower()
    assert b"x-team: orders" in head.lower()


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, "Retry-After: 4\r\n", 4.0),
        (503, "", None),
        (500, "Retry-After: nonsense\r\n", None),
    ],
)
def test_http_handler_meeting_overload_retries(
    status: int, headers: str, expected: float | None
) -> None:
    """429 and 5xx are tried again, after what the endpoint asked for."""
    result, _ = post(status, b"", headers)

    assert isinstance(result, Retry)
    assert result.delay_seconds == expected


@pytest.mark.parametrize("status", [400, 401, 404, 422, 302])
def test_http_handler_being_refused_is_terminal(status: int) -> None:
    """Another 4xx will not change, and a redirect is not followed."""
    result, seen = post(status, b"", "Location: http://127.0.0.1:9/\r\n")

    assert isinstance(result, Terminal)
    assert len(seen) == 1


@pytest.mark.parametrize("body", [b"", b"garbage", b"[]", b'"x"', b"x" * 300_000])
def test_http_handler_given_something_else_than_an_object_is_terminal(body: bytes) -> None:
    """Only a JSON object of bounded size is data."""
    result, _ = post(200, body)

    assert isinstance(result, Terminal)
    assert result.reason == "output_contract_violated"


def test_http_handler_waiting_too_long_retries() -> None:
    """A silent endpoint is given up after the agent's time."""
    result, _ = post(200, b"", hangs=True, timeout_seconds=0.2)

    assert isinstance(result, Retry)
    assert "did not answer within" in result.detail


class Shop:
    """An endpoint that is down until `is_up`; `calls` counts who asked. Its context's clock moves by hand."""

    def __init__(self) -> None:
        self.is_up = False
        self.calls = 0
        self.now = NOW

    def context(self) -> Context:
        """A context on this clock."""
        return replace(context_of(Path("/nonexistent")), now=lambda: self.now)

    @asynccontextmanager
    async def open(self, timeout_seconds: float) -> AsyncIterator[HttpHandler]:
        """Serve, and give a handler of it."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.calls += 1
            await reader.readuntil(b"\r\n\r\n")
            answer = b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}"
            writer.write(answer if self.is_up else answer.replace(b"200", b"503"))
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            spec = HttpSpec(url=f"http://127.0.0.1:{port}/")
            yield HttpHandler(spec, timeout_seconds=timeout_seconds)


def test_http_handler_of_an_endpoint_that_is_down_waits_and_looks_with_one_call() -> None:
    """After five failures nobody asks; then one call looks, and when it is answered all who waited go on."""
    shop = Shop()

    async def run() -> list[Any]:
        async with shop.open(60) as handler:
            for _ in range(5):
                assert isinstance(await handler(task_of(DATA), shop.context()), Retry)
            waiting = [asyncio.create_task(handler(task_of(DATA), shop.context())) for _ in "abcd"]
            await asyncio.sleep(0.2)
            assert shop.calls == 5
            shop.now += timedelta(seconds=1)
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert (shop.calls, len(done)) == (
                6,
                1,
            )  # the one that looked; the others wait twice as long
            shop.is_up = True
            shop.now += timedelta(seconds=2)
            return await asyncio.gather(*waiting)

    results = asyncio.run(run())

    assert sorted(type(one).__name__ for one in results) == ["Reply", "Reply", "Reply", "Retry"]
    assert shop.calls == 9


def test_http_handler_that_only_waited_says_so() -> None:
    """Who never got to ask within its time is tried again, and its detail does not blame an answer that was not asked for."""
    shop = Shop()

    async def run() -> Any:
        async with shop.open(0.3) as handler:
            for _ in range(5):
                await handler(task_of(DATA), shop.context())
            return await handler(task_of(DATA), shop.context())

    result = asyncio.run(run())

    assert isinstance(result, Retry)
    assert "is down" in result.detail
    assert shop.calls == 5


def test_http_handler_whose_looking_call_is_cancelled_lets_another_look() -> None:
    """A process that ends in the middle, or a task that is given up, leaves nobody waiting for ever."""
    shop = Shop()

    async def run() -> Any:
        async with shop.open(60) as handler:
            for _ in range(5):
                await handler(task_of(DATA), shop.context())
            shop.now += timedelta(seconds=1)
            looking = asyncio.create_task(handler(task_of(DATA), shop.context()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            shop.is_up = True
            return await handler(task_of(DATA), shop.context())

    assert asyncio.run(run()) == Reply(data={})


def test_http_handler_takes_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header may name a variable of ours, and no other; unset, it is refused at once."""
    spec = HttpSpec(
        url="http://127.0.0.1:9/",
        headers={"authorization": "Bearer ${SIGNALBOX_HANDLER_KEY}", "x": "${HOME}"},
    )
    with pytest.raises(ConfigurationError, match="SIGNALBOX_HANDLER_KEY"):
        HttpHandler(spec, timeout_seconds=1)
    monkeypatch.setenv("SIGNALBOX_HANDLER_KEY", "secret")

    assert HttpHandler(spec, timeout_seconds=1)._headers == {
        "authorization": "Bearer secret",
        "x": "${HOME}",
    }


def test_every_handler_of_the_sdr_fleet_can_be_built() -> None:
    """What the fleet's files name exists."""
    from signalbox.definitions.loader import load_fleet

    fleet = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "sdr")

    assert all(callable(handler_from(agent)) for agent in fleet.agents.values())
