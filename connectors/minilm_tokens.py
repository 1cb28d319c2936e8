"""MiniLM's tokens in 64 numbers of 8 bits each instead of 384 of 32: what an index can keep of every word.

The directions, in `minilm_directions.npy`, are those in which the tokens of CLINC150's, HWU64's and MetaTool's messages vary
most. Directions drawn at random lose half of what the tokens are kept for (docs/routing-quality.md).
"""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO
from typing import Final

import numpy as np

from signalbox.matching.embedder import TOKEN_SCALE, TokenVectors, Vectors, unit

TOKEN_DIMENSION: Final = 64
# Not by its path: on a cluster that does not know Signalbox this module lies in an archive.
_FILE: Final = files("connectors") / "minilm_directions.npy"
_DIRECTIONS: Final = np.load(BytesIO(_FILE.read_bytes())).astype(np.float32)


def in_few_numbers(hidden: Vectors) -> TokenVectors:
    """Return the tokens' vectors as an index keeps them.

    Args:
        hidden: what the model's last layer says; shape (texts, tokens, 384).

    Returns:
        Rows of length `TOKEN_SCALE`, rounded; shape (texts, tokens, 64).
    """
    few = unit(hidden.reshape(-1, len(_DIRECTIONS)) @ _DIRECTIONS)
    rounded: TokenVectors = np.rint(few * np.float32(TOKEN_SCALE)).astype(np.int8)
    return rounded.reshape(*hidden.shape[:2], TOKEN_DIMENSION)
