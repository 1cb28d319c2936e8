"""Vectors of definitions on disk, so that a restart embeds only what is new: one file an embedder, appended to.

A record is 16 bytes of the text's digest, the vector, how many tokens are kept (two bytes) and those, a byte a number. A file
whose last record is cut (a kill while it was written) is begun anew, and a vector that is not of length one is passed over.
Nothing here is needed: what cannot be read or written is embedded again.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from signalbox.matching.embedder import Embedder, TokenEmbedder, TokenVectors, Vectors

LOG = logging.getLogger(__name__)

MAX_BYTES: Final = 512 * 1024 * 1024
"""Beyond this the file is begun anew: definitions that are long gone fill it."""
_DIGEST_BYTES: Final = 16
_COUNT_BYTES: Final = 2
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_LENGTH_TOLERANCE: Final = 1e-3


class KeptVectors:
    """`signalbox.matching.vectors.Kept` in a folder. Several processes may share it."""

    def __init__(self, folder: Path, embedder: Embedder, max_tokens: int) -> None:
        self._dimension = embedder.dimension
        self._token_dimension = (
            embedder.token_dimension if isinstance(embedder, TokenEmbedder) else 0
        )
        # Tokens are in the name: a file without them, or with others, is another file.
        kind = f"{max_tokens}-{self._token_dimension}" if self._token_dimension else max_tokens
        self._path = folder / f"{_UNSAFE.sub('-', embedder.name)}-{kind}.embedded"
        self._found: dict[bytes, tuple[Vectors, TokenVectors]] | None = None

    def find(self, texts: Sequence[str]) -> dict[str, tuple[Vectors, TokenVectors]]:
        """See `Kept.find`. The file is read at the first question."""
        if self._found is None:
            self._found = self._read()
        digests = {text: _digest(text) for text in texts}
        return {t: self._found[digest] for t, digest in digests.items() if digest in self._found}

    def keep(self, texts: Sequence[str], vectors: Vectors, tokens: Sequence[TokenVectors]) -> None:
        """See `Kept.keep`: one write, so that processes beside each other do not mix records."""
        rows = np.ascontiguousarray(vectors, np.float32)
        content = b"".join(
            _digest(text) + row.tobytes() + len(said).to_bytes(_COUNT_BYTES) + said.tobytes()
            for text, row, said in zip(texts, rows, tokens, strict=True)
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
                self._path.unlink()
            with self._path.open("ab", buffering=0) as file:
                file.write(content)
        except OSError as error:
            LOG.warning("vectors cannot be kept in %s: %s", self._path, error.strerror)

    def _read(self) -> dict[bytes, tuple[Vectors, TokenVectors]]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            LOG.warning("kept vectors in %s cannot be read: %s", self._path, error.strerror)
            return {}
        found: dict[bytes, tuple[Vectors, TokenVectors]] = {}
        start = 0
        while start < len(content):
            first = start + _DIGEST_BYTES
            counted = first + self._dimension * 4
            said = counted + _COUNT_BYTES
            count = int.from_bytes(content[counted:said])
            end = said + count * self._token_dimension
            if end > len(content):
                LOG.warning("%s ends within a record; it is begun anew", self._path)
                self._path.unlink(missing_ok=True)
                return {}
            vector = np.frombuffer(content, np.float32, self._dimension, first)
            tokens = np.frombuffer(content, np.int8, end - said, said)
            with np.errstate(all="ignore"):
                length = float(vector @ vector)
            if abs(length - 1) < _LENGTH_TOLERANCE:
                shape = (count, self._token_dimension)
                found[content[start:first]] = vector, tokens.reshape(shape)
            start = end
        return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
