"""Vectors by text: each text is embedded once, however many choices and sets of choices say it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from signalbox.matching.embedder import Embedder, TokenEmbedder, Tokens, TokenVectors, Vectors

_BATCH: Final = 128
_WHOLE: Final = 64
"""Rows come in multiples of this, so that no row is one that the product treats apart: equal texts, equal likeness."""
_MEANS_AT_ONCE: Final = 256


_NO_TOKENS: Final = np.zeros((0, 0), np.int8)


class Kept(Protocol):
    """Vectors of an earlier run."""

    def find(self, texts: Sequence[str]) -> dict[str, tuple[Vectors, TokenVectors]]:
        """Return the vector and the tokens of those of `texts` that were kept."""

    def keep(self, texts: Sequence[str], vectors: Vectors, tokens: Sequence[TokenVectors]) -> None:
        """Keep one vector a text and its tokens. Never raises: what cannot be kept is embedded again."""


class Stopped(Exception):
    """The store was stopped while texts were added."""


class VectorStore:
    """A growing matrix, one row a text. One thread adds; others may read what was added before.

    It lies in memory by column: the product with a vector then reads it in order and takes half the time (*measured* where
    it is in no cache, which is where the embedder leaves it).
    """

    def __init__(self, embedder: Embedder, kept: Kept | None = None) -> None:
        self._embedder = embedder
        self._kept = kept
        self._rows: dict[str, int] = {}
        self._tokens: list[TokenVectors] = []
        self._columns: Vectors = np.zeros((0, 0), np.float32)
        self._is_stopped = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size_bytes(self) -> int:
        """What the matrix, the tokens and the texts that name the rows take."""
        tokens = sum(map(sys.getsizeof, self._tokens))
        return self._columns.nbytes + tokens + sum(map(sys.getsizeof, self._rows))

    def stop(self) -> None:
        """Let `add` end with `Stopped` after the texts it is at."""
        self._is_stopped = True

    def add(self, texts: Iterable[str]) -> None:
        """Embed those of `texts` that are new; what was embedded before an error stays.

        Raises:
            RetryableError, TerminalError: what the embedder raised.
            Stopped: `stop` was called.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if self._kept is not None and new:
            found = self._kept.find(new)
            if found:
                vectors, tokens = zip(*found.values(), strict=True)
                self._append(list(found), np.stack(vectors), tokens)
                new = [text for text in new if text not in found]
        for start in range(0, len(new), _BATCH):
            self.check()
            batch = new[start : start + _BATCH]
            embedded, said = self._embed(batch)
            in_tokens = [_NO_TOKENS] * len(batch) if said is None else [t.vectors for t in said]
            self._append(batch, embedded, in_tokens)
            if self._kept is not None:
                self._kept.keep(batch, embedded, in_tokens)

    def check(self) -> None:
        """Raise `Stopped` if `stop` was called."""
        if self._is_stopped:
            raise Stopped

    def rows(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return the row numbers of `texts`, which were added."""
        return np.array([self._rows[text] for text in texts], np.int32)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text of `texts`, which were added, in their order."""
        return self.at(self.rows(texts))

    def at(self, rows: NDArray[np.int32]) -> Vectors:
        """Return the vectors of `rows`, one a row, in their order."""
        return np.ascontiguousarray(self._columns.take(rows, axis=1).T)

    def tokens(self, rows: NDArray[np.int32]) -> list[TokenVectors]:
        """Return the tokens of each of `rows`, which were added; empty where the embedder gives none."""
        return [self._tokens[row] for row in rows]

    def embed(self, query: str) -> tuple[Vectors, Tokens | None]:
        """Return the unit vector of `query` and its tokens, None where the embedder gives none; nothing is kept of it.

        Raises:
            RetryableError, TerminalError: what the embedder raised.
        """
        vectors, tokens = self._embed([query])
        return vectors[0], None if tokens is None else tokens[0]

    def lengths_of_means(self, groups: Sequence[NDArray[np.int32]]) -> Vectors:
        """Return how long the mean of each group of rows is; no group is empty."""
        lengths = [np.zeros(0, np.float32)]
        for start in range(0, len(groups), _MEANS_AT_ONCE):
            some = groups[start : start + _MEANS_AT_ONCE]
            counts = np.array([len(rows) for rows in some])
            vectors = self._columns.take(np.concatenate(some), axis=1)
            sums = np.add.reduceat(vectors, np.cumsum(counts) - counts, axis=1)
            lengths.append(np.sqrt(np.einsum("ij,ij->j", sums, sums)) / counts)
        return np.concatenate(lengths, dtype=np.float32)

    def likeness(self, vector: Vectors) -> NDArray[np.float32]:
        """Return the cosine of `vector`, of length one, with every row, and 0 where the row is not taken yet."""
        whole = -(-len(self._rows) // _WHOLE) * _WHOLE
        likeness: NDArray[np.float32] = self._columns[:, :whole].T @ vector
        return likeness

    def _embed(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens] | None]:
        if isinstance(self._embedder, TokenEmbedder):
            return self._embedder.embed_tokens(texts)
        return self._embedder.embed(texts), None

    def _append(self, texts: list[str], vectors: Vectors, tokens: Sequence[TokenVectors]) -> None:
        first = len(self._rows)
        needed = first + len(texts)
        room = self._columns.shape[1]
        if needed > room:
            room = -(-max(needed, room * 5 // 4) // _WHOLE) * _WHOLE
            grown = np.zeros((vectors.shape[1], room), np.float32)
            if first:
                grown[:, :first] = self._columns[:, :first]
            self._columns = grown
        self._columns[:, first:needed] = vectors.T
        self._tokens += tokens
        # Last, so that whoever reads beside this sees whole rows only.
        self._rows.update((text, first + number) for number, text in enumerate(texts))
