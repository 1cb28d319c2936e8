"""Vectors of definitions on disk, so that a restart embeds only what is new: one file an embedder, appended to.

A record is 16 bytes of the text's digest and the vector. A file whose last record is cut (a kill while it was written) is
begun anew, and a vector that is not of length one is passed over. Nothing here is needed: what cannot be read or written is
embedded again.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from signalbox.matching.embedder import Embedder, Vectors

LOG = logging.getLogger(__name__)

MAX_BYTES: Final = 512 * 1024 * 1024
"""Beyond this the file is begun anew: definitions that are long gone fill it."""
_DIGEST_BYTES: Final = 16
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_LENGTH_TOLERANCE: Final = 1e-3


class KeptVectors:
    """`signalbox.matching.vectors.Kept` in a folder. Several processes may share it."""

    def __init__(self, folder: Path, embedder: Embedder, max_tokens: int) -> None:
        self._embedder = embedder
        self._path = folder / f"{_UNSAFE.sub('-', embedder.name)}-{max_tokens}.vectors"
        self._found: dict[bytes, Vectors] | None = None

    def find(self, texts: Sequence[str]) -> dict[str, Vectors]:
        """See `Kept.find`. The file is read at the first question."""
        if self._found is None:
            self._found = self._read()
        digests = {text: _digest(text) for text in texts}
        return {t: self._found[digest] for t, digest in digests.items() if digest in self._found}

    def keep(self, texts: Sequence[str], vectors: Vectors) -> None:
        """See `Kept.keep`: one write, so that processes beside each other do not mix records."""
        rows = np.ascontiguousarray(vectors, np.float32)
        content = b"".join(
            _digest(text) + row.tobytes() for text, row in zip(texts, rows, strict=True)
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
                self._path.unlink()
            with self._path.open("ab", buffering=0) as file:
                file.write(content)
        except OSError as error:
            LOG.warning("vectors cannot be kept in %s: %s", self._path, error.strerror)

    def _read(self) -> dict[bytes, Vectors]:
        dimension = self._embedder.dimension
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            LOG.warning("kept vectors in %s cannot be read: %s", self._path, error.strerror)
            return {}
        size = _DIGEST_BYTES + dimension * 4
        if len(content) % size:
            LOG.warning("%s ends within a record; it is begun anew", self._path)
            self._path.unlink(missing_ok=True)
            return {}
        whole = np.frombuffer(content, np.uint8).reshape(-1, size)
        vectors = np.ascontiguousarray(whole[:, _DIGEST_BYTES:]).view(np.float32)
        lengths = np.einsum("ij,ij->i", vectors, vectors)
        good = np.flatnonzero(np.abs(lengths - 1) < _LENGTH_TOLERANCE)
        return {whole[row, :_DIGEST_BYTES].tobytes(): vectors[row] for row in good}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
