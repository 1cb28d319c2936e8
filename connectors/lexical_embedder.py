"""Vectors from spelling alone: words and pieces of words, each at a place that its hash says. For where no model is.

Knows no meaning: two texts are near where they share words. Its name says so, and stands where a model's would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import numpy as np

from signalbox.matching.embedder import Vectors, unit
from signalbox.matching.lexical import counted_features

DIMENSION: Final = 1024
_SIGN_BIT: Final = 1 << 31
_MAX_CHARS: Final = 4096


class LexicalEmbedder:
    """Counts features into `DIMENSION` numbers; the same on every machine."""

    name = "lexical"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`; a text is cut to 4,096 characters."""
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in enumerate(texts):
            for feature, count in counted_features([text[:_MAX_CHARS]]).items():
                place = crc32(feature.encode("utf-8", "surrogatepass"))
                # Half of all features count down, so that those which meet at one place cancel out on average.
                vectors[row, place % DIMENSION] += -count if place & _SIGN_BIT else count
        return unit(vectors)
