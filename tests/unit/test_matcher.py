"""The matcher beside the event loop: what is asked while an index is built, what is kept, and the shortlist of other models."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from connectors.caching_model import CachingChatModel
from connectors.embedded_model import EmbeddedChatModel
from connectors.kept_vectors import KeptVectors
from connectors.lexical_embedder import LexicalEmbedder
from connectors.matcher import Matcher
from connectors.scripted_model import ScriptedChatModel
from connectors.shortlisting_model import ShortlistingChatModel
from signalbox.contracts.chat import ChatRequest
from signalbox.errors import ConfigurationError, RetryableError, TerminalError
from signalbox.matching.embedder import Vectors

THINGS = [
    "parcel",
    "invoice",
    "flight",
    "hotel",
    "recipe",
    "salary",
    "alarm",
    "weather",
    "song",
    "tyre",
    "visa",
    "passport",
    "tax",
    "loan",
]
CHOICES = {
    f"{thing}_{kind}": (f"Handles every {thing} {kind}.",)
    for thing in THINGS
    for kind in ("question", "complaint")
}


class SlowEmbedder(LexicalEmbedder):
    """Embeds once it is let go, and remembers what it was asked."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.let_go.wait(60)
        self.asked += texts
        return super().embed(texts)


def request(query: str, **more: object) -> ChatRequest:
    return ChatRequest(
        system="all",
        user=query,
        schema={},
        schema_name="route",
        query=query,
        choices=CHOICES,
        cache_key=query,
        **more,  # type: ignore[arg-type]
    )


def test_embedded_model_says_with_what_it_told_agents_apart() -> None:
    """Model, calibration and the nearest text stand in the answer."""

    async def ask() -> None:
        model = EmbeddedChatModel(Matcher(LexicalEmbedder()))
        answer = await model.complete(request("my flight complaint"), timeout_seconds=5)

        assert model.name == answer.model == "embedded:lexical"
        assert answer.calibration == "default"
        assert orjson.loads(answer.text)["agent"] == "flight_complaint"
        assert "flight complaint" in orjson.loads(answer.text)["reason"]
        assert set(answer.scores) == set(CHOICES)
        await model.close()

    asyncio.run(ask())


def test_question_while_the_index_is_built_is_decided_by_words_and_says_so() -> None:
    """Nobody waits longer than half the timeout; what is decided meanwhile is not kept, and later answers are better ones."""

    async def ask() -> None:
        embedder = SlowEmbedder()
        model = CachingChatModel(EmbeddedChatModel(Matcher(embedder)))
        early = await model.complete(request("my flight complaint"), timeout_seconds=0.05)
        embedder.let_go.set()
        late = await model.complete(request("my flight complaint"), timeout_seconds=60)

        assert early.is_provisional
        assert early.model == "embedded:lexical"
        assert "the index of 28 agents is being built" in early.text
        assert not late.is_provisional
        assert not late.cached
        assert "being built" not in late.text
        await model.close()

    asyncio.run(ask())


def test_crowd_that_waits_for_an_index_builds_it_once() -> None:
    """Fifty questions, one index."""

    async def ask() -> None:
        embedder = SlowEmbedder()
        matcher = Matcher(embedder)
        asked = [
            asyncio.create_task(matcher.place("a loan", CHOICES, timeout_seconds=60))
            for _ in range(50)
        ]
        await asyncio.sleep(0)
        embedder.let_go.set()
        found = await asyncio.gather(*asked)

        assert all(found)
        assert embedder.asked.count("tax complaint") == 1
        matcher.close()

    asyncio.run(ask())


def shortlisting(seen: list[ChatRequest]) -> ShortlistingChatModel:
    def answer(asked: ChatRequest) -> dict[str, object]:
        seen.append(asked)
        return {"agent": "NONE", "reason": "r", "confidence": 1.0}

    return ShortlistingChatModel(ScriptedChatModel(answer), lambda: Matcher(LexicalEmbedder()))


def test_model_is_asked_of_the_twenty_nearest_of_many() -> None:
    """The narrowed question is what the model sees; the answer says of whom it was asked, and all scores."""
    seen: list[ChatRequest] = []

    def narrow(chosen: tuple[str, ...]) -> ChatRequest:
        return replace(request("my flight complaint"), system=" ".join(chosen))

    async def ask() -> None:
        model = shortlisting(seen)
        answer = await model.complete(
            request("my flight complaint", narrow=narrow), timeout_seconds=5
        )

        assert len(answer.shortlist) == 20
        assert answer.shortlist[0] == "flight_complaint"
        assert seen[0].system.split() == list(answer.shortlist)
        assert set(answer.scores) == set(CHOICES)
        assert answer.calibration == "default:lexical"
        await model.close()

    asyncio.run(ask())


def test_question_of_few_candidates_passes_as_it_is() -> None:
    """No weights are read for a fleet that never needs a shortlist."""
    seen: list[ChatRequest] = []

    async def ask() -> None:
        model = ShortlistingChatModel(
            ScriptedChatModel(lambda asked: seen.append(asked) or {"agent": "NONE"}),  # type: ignore[func-returns-value]
            lambda: pytest.fail("nothing to match"),
        )
        answer = await model.complete(request("x"), timeout_seconds=5)

        assert seen[0].system == "all"
        assert answer.shortlist == ()
        await model.close()

    asyncio.run(ask())


def test_model_is_not_asked_before_the_shortlist_is_there() -> None:
    """The question is asked again later; nobody is chosen at random."""

    async def ask() -> None:
        embedder = SlowEmbedder()
        model = ShortlistingChatModel(
            ScriptedChatModel(lambda asked: pytest.fail("asked")), lambda: Matcher(embedder)
        )
        with pytest.raises(RetryableError, match="index of 28 agents is still being built"):
            await model.complete(
                request("x", narrow=lambda chosen: request("x")), timeout_seconds=0.05
            )
        embedder.let_go.set()
        await model.close()

    asyncio.run(ask())


def test_wrong_weights_are_a_dead_letter_with_the_remedy() -> None:
    """A configuration that stays wrong is not tried again and again."""

    def broken() -> Matcher:
        msg = "sha256 differs; reinstall the wheel"
        raise ConfigurationError(msg)

    async def ask() -> None:
        model = ShortlistingChatModel(ScriptedChatModel({"route": {}}), broken)
        with pytest.raises(TerminalError, match="reinstall the wheel"):
            await model.complete(
                request("x", narrow=lambda chosen: request("x")), timeout_seconds=5
            )

    asyncio.run(ask())


def embedded(folder: Path) -> list[str]:
    """Index the choices with what `folder` kept; return what had to be embedded."""
    embedder = SlowEmbedder()
    embedder.let_go.set()
    matcher = Matcher(embedder, KeptVectors(folder, embedder, 128))
    asyncio.run(matcher.place("query", CHOICES, timeout_seconds=60))
    matcher.close()
    return [text for text in embedder.asked if text != "query"]


def test_restart_embeds_nothing_that_was_kept(tmp_path: Path) -> None:
    """Vectors of definitions are on disk."""
    assert embedded(tmp_path)
    assert embedded(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 1000])
def test_file_that_is_cut_is_begun_anew(tmp_path: Path, cut: int) -> None:
    """A kill in the middle of a write costs time, never an answer."""
    embedded(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-cut])

    assert embedded(tmp_path)
    assert embedded(tmp_path) == []


def test_vector_that_is_none_is_passed_over(tmp_path: Path) -> None:
    """What lies on disk is checked before it is believed."""
    embedded(tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[16 : 16 + 4 * LexicalEmbedder.dimension] = b"\x7f" * 4 * LexicalEmbedder.dimension
    file.write_bytes(content)

    assert len(embedded(tmp_path)) == 1


def test_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """A file in the folder's place: everything is embedded, each time."""
    (tmp_path / "taken").write_text("")

    assert embedded(tmp_path / "taken")
