"""One contract for every chat model: the fakes, the embedded scorer, a recording, and the real clients against a stub server.

What this cannot catch: how a real model answers, and what a real server does beside HTTP and its documented bodies.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from benchmarks.stub_model import RETRY_AFTER_SECONDS, StubModel
from connectors.chat_model import MAX_ANSWER_BYTES, ChatModel
from connectors.embedded_model import EmbeddedChatModel
from connectors.models import chat_model_from
from connectors.recorded_model import RecordedChatModel, RecordingChatModel, request_digest
from connectors.scripted_model import ScriptedChatModel
from signalbox.contracts.chat import ChatAnswer, ChatImage, ChatRequest
from signalbox.errors import ImagesRefusedError, RetryableError, SignalboxError, TerminalError
from signalbox.routing.simulation import Simulation
from signalbox.settings import EmbedderSettings, ModelSettings
from tests.support.fleets import agent, message, rulebook

KEY = "sk-a-secret-nobody-may-see"
REQUEST = ChatRequest(
    system="You are the router of a team of agents.",
    user="Message type: lead.replied\n<message>\ncan we have a call about a demo?\n</message>",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["reason", "agent", "confidence"],
        "properties": {
            "reason": {"type": "string", "maxLength": 300},
            "agent": {"type": "string", "enum": ["outreach", "nurture", "NONE"]},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
    },
    schema_name="route",
    query="can we have a call about a demo?",
    choices={
        "outreach": ("Answers people who want a demo or a call.",),
        "nurture": ("Keeps in touch with people who say later.",),
    },
    calibration={"none_below": 0.1, "margin": 0.0},
    cache_key="k1",
)
ANSWER = {"agent": "outreach", "reason": "wants a demo", "confidence": 0.9}


@asynccontextmanager
async def scripted(tmp_path: Path) -> AsyncIterator[ChatModel]:
    yield ScriptedChatModel({"route": ANSWER})


@asynccontextmanager
async def embedded(tmp_path: Path) -> AsyncIterator[ChatModel]:
    yield EmbeddedChatModel()


@asynccontextmanager
async def recorded(tmp_path: Path) -> AsyncIterator[ChatModel]:
    recorder = RecordingChatModel(ScriptedChatModel({"route": ANSWER}), tmp_path / "r.jsonl")
    await recorder.complete(REQUEST, timeout_seconds=5)
    yield RecordedChatModel(tmp_path / "r.jsonl")


def settings(provider: str, stub: StubModel, mode: str = "ok") -> ModelSettings:
    """Settings of `provider` at the stub, every call answered in `mode`."""
    path = f"/{mode}/v1" if provider == "openai" else f"/{mode}"
    return ModelSettings.model_validate(
        {
            "provider": provider,
            "name": "stub",
            "base_url": f"http://127.0.0.1:{stub.port}{path}",
            "api_key": SecretStr(KEY),
        }
    )


@asynccontextmanager
async def at_stub(
    provider: str, mode: str = "ok", **stub_options: float
) -> AsyncIterator[tuple[ChatModel, StubModel]]:
    stub = StubModel(**stub_options)  # type: ignore[arg-type]
    await stub.start()
    model = chat_model_from(settings(provider, stub, mode))
    try:
        yield model, stub
    finally:
        await model.close()
        await stub.stop()


def served(provider: str) -> Callable[[Path], object]:
    @asynccontextmanager
    async def build(tmp_path: Path) -> AsyncIterator[ChatModel]:
        async with at_stub(provider) as (model, _):
            yield model

    return build


EVERY_MODEL = pytest.mark.parametrize(
    "build",
    [
        pytest.param(scripted, id="scripted"),
        pytest.param(embedded, id="embedded"),
        pytest.param(recorded, id="recorded"),
        pytest.param(served("openai"), id="openai"),
        pytest.param(served("ollama"), id="ollama"),
    ],
)
EVERY_CLIENT = pytest.mark.parametrize("provider", ["openai", "ollama"])


@EVERY_MODEL
def test_chat_model_asked_a_routing_question_answers_with_fitting_json(
    build: Callable[[Path], object], tmp_path: Path
) -> None:
    """Every model answers a routing question with a JSON object of agent, reason and confidence."""

    async def ask() -> None:
        async with build(tmp_path) as model:  # type: ignore[attr-defined]
            assert isinstance(model, ChatModel)
            answer = await model.complete(REQUEST, timeout_seconds=5)
            fields = orjson.loads(answer.text)

            assert fields["agent"] == "outreach"
            assert isinstance(fields["reason"], str)
            assert 0 <= fields["confidence"] <= 1
            assert answer.model
            assert answer.cached is False
            assert answer.tokens_in >= 0
            assert answer.latency_ms >= 0

    asyncio.run(ask())


@EVERY_MODEL
def test_chat_model_asked_the_same_twice_answers_the_same(
    build: Callable[[Path], object], tmp_path: Path
) -> None:
    """Equal questions get equal answers."""

    async def ask() -> None:
        async with build(tmp_path) as model:  # type: ignore[attr-defined]
            first = await model.complete(REQUEST, timeout_seconds=5)
            second = await model.complete(REQUEST, timeout_seconds=5)

            assert first.text == second.text

    asyncio.run(ask())


@EVERY_MODEL
def test_chat_model_asked_many_times_at_once_answers_each(
    build: Callable[[Path], object], tmp_path: Path
) -> None:
    """Fifty concurrent calls all come back."""

    async def ask() -> None:
        async with build(tmp_path) as model:  # type: ignore[attr-defined]
            answers = await asyncio.gather(
                *(model.complete(REQUEST, timeout_seconds=20) for _ in range(50))
            )

            assert len({answer.text for answer in answers}) == 1

    asyncio.run(ask())


@EVERY_MODEL
def test_chat_model_closed_twice_says_nothing(
    build: Callable[[Path], object], tmp_path: Path
) -> None:
    """Closing a model again is harmless."""

    async def ask() -> None:
        async with build(tmp_path) as model:  # type: ignore[attr-defined]
            await model.close()
            await model.close()

    asyncio.run(ask())


@dataclass(frozen=True)
class Fault:
    mode: str
    error: type[SignalboxError]
    retry_after_seconds: float | None = None
    said: str = ""


@EVERY_CLIENT
@pytest.mark.parametrize(
    "fault",
    [
        Fault("rate_limited", RetryableError, RETRY_AFTER_SECONDS),
        Fault("error", RetryableError),
        Fault("reset", RetryableError),
        Fault("truncated", RetryableError, said="MAX_TOKENS"),
        Fault("huge", RetryableError, said="the connection was closed"),
        Fault("empty", RetryableError),
        Fault("not_json_body", RetryableError),
        Fault("bad_request", TerminalError),
        Fault("unauthorized", TerminalError, said="SIGNALBOX_MODEL__API_KEY"),
    ],
    ids=lambda fault: fault.mode,
)
def test_client_meeting_a_fault_raises_what_says_whether_to_retry(
    provider: str, fault: Fault
) -> None:
    """Each fault of a server is retryable or terminal as the port says, after one single call."""

    async def ask() -> None:
        async with at_stub(provider, fault.mode) as (model, stub):
            with pytest.raises(fault.error) as caught:
                await model.complete(REQUEST, timeout_seconds=5)

            if isinstance(caught.value, RetryableError):
                assert caught.value.retry_after_seconds == fault.retry_after_seconds
            else:
                assert isinstance(caught.value, TerminalError)
                assert caught.value.reason == "model_failed"
            assert model.name in str(caught.value)
            assert fault.said in str(caught.value)
            assert stub.stats.calls == 1

    asyncio.run(ask())


@EVERY_CLIENT
@pytest.mark.parametrize("mode", ["garbage", "wrong_name"])
def test_client_given_an_unusable_answer_hands_it_on_unjudged(provider: str, mode: str) -> None:
    """Text that is no JSON, or names nobody, is the caller's to judge."""

    async def ask() -> None:
        async with at_stub(provider, mode) as (model, _):
            answer = await model.complete(REQUEST, timeout_seconds=5)

            assert "somebody_else" in answer.text or "lead_scoring" in answer.text

    asyncio.run(ask())


@EVERY_CLIENT
def test_client_running_into_its_timeout_closes_the_connection(provider: str) -> None:
    """A call past its time is retryable, and the server sees the connection go."""

    async def ask() -> None:
        async with at_stub(provider, "hang") as (model, stub):
            with pytest.raises(RetryableError, match="did not answer within"):
                await model.complete(REQUEST, timeout_seconds=0.2)
            await _until(lambda: stub.stats.abandoned == 1)

            assert stub.stats.in_flight == 0

    asyncio.run(ask())


@EVERY_CLIENT
def test_client_cancelled_closes_the_connection(provider: str) -> None:
    """A cancelled call ends at the server too."""

    async def ask() -> None:
        async with at_stub(provider, "hang") as (model, stub):
            call = asyncio.create_task(model.complete(REQUEST, timeout_seconds=60))
            await _until(lambda: stub.stats.in_flight == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await _until(lambda: stub.stats.abandoned == 1)

    asyncio.run(ask())


@EVERY_CLIENT
def test_client_with_nobody_listening_is_retryable(provider: str) -> None:
    """A refused connection may be a server that is just starting."""

    async def ask() -> None:
        stub = StubModel()
        await stub.start()
        await stub.stop()
        model = chat_model_from(settings(provider, stub))
        with pytest.raises(RetryableError, match="cannot be reached"):
            await model.complete(REQUEST, timeout_seconds=5)
        await model.close()

    asyncio.run(ask())


@EVERY_CLIENT
def test_client_with_hundreds_in_flight_queues_none_of_them(provider: str) -> None:
    """As many calls as `max_in_flight` allows reach the server at the same time."""

    async def ask() -> None:
        stub = StubModel(mode="hang")
        await stub.start()
        model = chat_model_from(
            settings(provider, stub, "hang").model_copy(update={"max_in_flight": 300})
        )
        calls = [
            asyncio.create_task(model.complete(REQUEST, timeout_seconds=120)) for _ in range(300)
        ]
        await _until(lambda: stub.stats.in_flight == 300, seconds=60)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await model.close()
        await stub.stop()

        assert stub.stats.max_in_flight == 300

    asyncio.run(ask())


@EVERY_CLIENT
@pytest.mark.parametrize("mode", ["ok", "error", "unauthorized", "reset", "not_json_body"])
def test_client_shows_its_key_nowhere(
    provider: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is in no repr, log line or error."""

    async def ask() -> str:
        async with at_stub(provider, mode) as (model, _):
            said = [repr(model), str(model), model.name]
            try:
                said.append(repr(await model.complete(REQUEST, timeout_seconds=5)))
            except SignalboxError as error:
                said += [repr(error), str(error), repr(error.__cause__)]
            return "\n".join(said)

    with caplog.at_level("DEBUG"):
        said = asyncio.run(ask())

    assert KEY not in said
    assert KEY not in caplog.text


PICTURE = ChatImage(b"\x89PNG\r\n\x1a\n and so on", "image/png")
WITH_PICTURE = replace(REQUEST, images=(PICTURE,))


@EVERY_CLIENT
def test_client_sends_a_picture_as_its_server_takes_it(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes arrive whole beside the user's words: in Ollama's `images`, or as a part with a data URI."""
    seen = _kept_requests(monkeypatch)

    async def ask() -> None:
        async with at_stub(provider) as (model, stub):
            await model.complete(WITH_PICTURE, timeout_seconds=5)
            await model.complete(REQUEST, timeout_seconds=5)
            assert stub.stats.calls == 2

    asyncio.run(ask())

    said, without = (sent["messages"][-1] for sent in seen)
    assert without == {"role": "user", "content": REQUEST.user}
    if provider == "ollama":
        assert said["content"] == REQUEST.user
        assert [base64.b64decode(one) for one in said["images"]] == [PICTURE.data]
    else:
        words, picture = said["content"]
        assert words == {"type": "text", "text": REQUEST.user}
        assert picture["type"] == "image_url"
        head, _, data = picture["image_url"]["url"].partition(",")
        assert (head, base64.b64decode(data)) == ("data:image/png;base64", PICTURE.data)


@EVERY_CLIENT
@pytest.mark.parametrize("mode", ["bad_request", "blind"])
def test_client_whose_server_takes_no_picture_says_that_it_was_the_picture(
    provider: str, mode: str
) -> None:
    """A request refused with a picture in it is an error of its own; without one it is what it was."""

    async def ask() -> None:
        async with at_stub(provider, mode) as (model, stub):
            with pytest.raises(ImagesRefusedError, match="SIGNALBOX_MODEL__NAME") as caught:
                await model.complete(WITH_PICTURE, timeout_seconds=5)
            assert caught.value.reason == "model_failed"
            assert stub.stats.calls == 1
            with pytest.raises(TerminalError) as plain:
                await model.complete(REQUEST, timeout_seconds=5)
            assert not isinstance(plain.value, ImagesRefusedError)

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [(["completion", "tools"], "sees no pictures"), (None, "update Ollama")],
)
def test_ollama_model_without_sight_is_not_shown_a_picture(
    capabilities: list[str] | None, said: str
) -> None:
    """Such a model may answer as if it had seen something, so it is asked what it can do before it is asked."""

    async def ask() -> None:
        async with at_stub("ollama") as (model, stub):
            stub.capabilities = capabilities
            with pytest.raises(ImagesRefusedError, match=said):
                await model.complete(WITH_PICTURE, timeout_seconds=5)
            assert stub.stats.calls == 0
            assert (await model.complete(REQUEST, timeout_seconds=5)).text

    asyncio.run(ask())


def test_embedded_model_refuses_pictures() -> None:
    """Who knows words only does not decide as if there were no picture."""
    with pytest.raises(ImagesRefusedError, match="sees no pictures"):
        asyncio.run(EmbeddedChatModel().complete(WITH_PICTURE, timeout_seconds=5))


def test_recording_tells_questions_with_different_pictures_apart() -> None:
    """Equal words about another picture are another question; without a picture the digest is what it always was."""
    other = replace(REQUEST, images=(ChatImage(b"GIF89a", "image/gif"),))

    assert len({request_digest(one) for one in (REQUEST, WITH_PICTURE, other)}) == 3
    assert request_digest(REQUEST) == request_digest(replace(REQUEST, images=()))
    assert request_digest(REQUEST).startswith("9ace9c220dc2e6ab")


def _kept_requests(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the stub is asked, in order."""
    seen: list[dict[str, Any]] = []

    def keep(mode: str, is_ollama: bool, body: bytes) -> tuple[int, str, tuple[str, ...], bytes]:
        seen.append(json.loads(body))
        return original(mode, is_ollama, body)

    from benchmarks import stub_model

    original = stub_model._answer
    monkeypatch.setattr(stub_model, "_answer", keep)
    return seen


@EVERY_CLIENT
def test_client_sends_the_schema_and_what_makes_answers_repeatable(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is given the JSON Schema, temperature 0, a seed and a bound on tokens."""
    seen = _kept_requests(monkeypatch)

    async def ask() -> None:
        async with at_stub(provider) as (model, _):
            await model.complete(REQUEST, timeout_seconds=5)

    asyncio.run(ask())

    (sent,) = seen
    options = sent["options"] if provider == "ollama" else sent
    limit = "num_predict" if provider == "ollama" else "max_tokens"
    assert isinstance(options, dict)
    assert options["temperature"] == 0
    assert options["seed"] == 1
    assert options[limit] == 1024
    assert '"maxLength": 300' in json.dumps(sent)


def test_scripted_model_saying_too_much_is_refused() -> None:
    """The bound on answers holds for every model, not for servers only."""
    model = ScriptedChatModel(lambda request: "x" * (MAX_ANSWER_BYTES + 1))

    with pytest.raises(RetryableError, match="at most 65536"):
        asyncio.run(model.complete(REQUEST, timeout_seconds=5))


def test_recorded_model_asked_something_new_says_that_it_must_be_recorded(tmp_path: Path) -> None:
    """A question that is not in the recording is terminal, with the remedy."""

    async def ask() -> None:
        async with recorded(tmp_path) as model:
            changed = replace(REQUEST, user=REQUEST.user + "!")
            with pytest.raises(TerminalError, match="record it again"):
                await model.complete(changed, timeout_seconds=5)

    asyncio.run(ask())


async def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("provider", ["ollama", "openai"])
def test_server_is_asked_of_the_shortlist_of_a_crowd(provider: str) -> None:
    """Thirty agents take the data: the server may answer the nearest twenty or NONE, and the record says of whom it was asked."""
    parcels = agent("parcels", ["text"], description="Finds parcels that are late or lost.")
    others = (
        agent(f"desk_{n:02}", ["text"], description=f"Answers letters of kind {n}.")
        for n in range(29)
    )
    world = Simulation(rulebook(*others, parcels))
    world.send(message("m-1", {"text": "my parcel is late, is it lost?"}))
    question = world.questions["c-1"]

    async def ask() -> ChatAnswer:
        stub = StubModel(median_seconds=0.0)
        await stub.start()
        model = chat_model_from(settings(provider, stub), EmbedderSettings(provider="lexical"))
        try:
            return await model.complete(question.request, timeout_seconds=10)
        finally:
            await model.close()
            await stub.stop()

    answer = asyncio.run(ask())
    world.answer("c-1", answer)

    # The stub answers with the first name of the schema's enum, so it was sent the shortlist and not the crowd.
    (decision,), (dispatch,) = world.decisions, world.dispatches
    assert dispatch.agent == decision.agent == "parcels" == decision.shortlist[0]
    assert (len(decision.shortlist), decision.accepted_total) == (20, 30)
    assert decision.calibration == "default:lexical"
    assert (decision.path, decision.model) == ("model", f"{provider}/stub")
    assert decision.tokens_in > 0
