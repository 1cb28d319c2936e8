"""Makes `connectors/minilm_directions.npy`: the 64 directions in which the tokens of messages vary most.

    python -m benchmarks.token_directions OUT.npy MESSAGES.jsonl [MESSAGES.jsonl …]

Each file has one JSON object a line with `text`; every file counts the same, whatever its length. The file that is shipped
is of the messages of CLINC150's development set, HWU64 and MetaTool; no labels are looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from connectors.minilm import MiniLmEmbedder
from connectors.minilm_layers import DIMENSION
from connectors.minilm_tokens import TOKEN_DIMENSION
from signalbox.matching.embedder import Vectors, unit

MAX_TOKENS_PER_SET = 60_000


def directions(sets: Sequence[Sequence[str]]) -> Vectors:
    """Return the directions, the strongest first: orthonormal columns, shape (384, 64)."""
    model = MiniLmEmbedder()
    spread = np.zeros((DIMENSION, DIMENSION), np.float64)
    for texts in sets:
        states = [hidden.reshape(-1, DIMENSION) for _, _, hidden in model.batches(texts)]
        tokens = unit(np.concatenate(states)[:MAX_TOKENS_PER_SET])
        spread += tokens.T @ tokens / len(tokens)
    strongest: Vectors = np.linalg.eigh(spread)[1][:, ::-1][:, :TOKEN_DIMENSION].astype(np.float32)
    return strongest


def main(arguments: Sequence[str]) -> None:
    """Read the sets and write the file."""
    out, *paths = map(Path, arguments)
    sets = [
        [orjson.loads(line)["text"] for line in path.read_bytes().splitlines()] for path in paths
    ]
    np.save(out, directions(sets).astype(np.float16))


if __name__ == "__main__":
    main(sys.argv[1:])
