"""The port to whatever turns texts into vectors, and what a vector is here: 32-bit floats, length one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Rows of numbers; each row a unit vector unless it says otherwise."""
TokenVectors = NDArray[np.int8]
"""One row a token: a unit vector times `TOKEN_SCALE`, rounded."""
TOKEN_SCALE: Final = 127


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text token by token, without the marks at its ends; none where there is nothing to embed."""

    vectors: TokenVectors
    weights: Vectors
    """How much each token says, above 0."""


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors. May be called from any thread; `name` stands in every record it had a part in."""

    name: str
    dimension: int
    """How many numbers a vector has; 0 until the first was embedded, where only a server knows."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape (len(texts), dimension), rows in the order of `texts`, each of length one.

        A text without anything to embed has a row of zeros. A text beyond the embedder's limit is cut, never refused.

        Raises:
            RetryableError: a server did not answer; nothing was embedded.
            TerminalError: a server refuses this request whenever it is sent.
        """
        ...


@runtime_checkable
class TokenEmbedder(Embedder, Protocol):
    """An embedder whose pass over a text also gives a vector of each of its tokens."""

    token_dimension: int
    """How many numbers a token's vector has; above 0."""

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        """Return what `embed` returns and the tokens of each text, by the same pass.

        Raises:
            RetryableError, TerminalError: as `embed`.
        """
        ...


def clean(text: str, max_chars: int) -> str:
    """Return the beginning of `text` as a tokenizer or a server can take it: half of a surrogate pair becomes a question mark."""
    return text[:max_chars].encode("utf-8", "replace").decode()


def unit(rows: NDArray[Any]) -> Vectors:
    """Return `rows` scaled to length one; a row of zeros stays one."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.divide(rows, lengths, out=np.zeros_like(rows, np.float32), where=lengths > 0)
