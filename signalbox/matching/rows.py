"""Which rows of the vector store are whose, as one table, and how much the nearest of a choice's texts count."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

NEAREST_WEIGHTS: Final = np.array([0.6, 0.25, 0.1, 0.05], np.float32)
"""How much the nearest text of a choice counts, the second nearest, and so on."""
NEAREST_OF_MANY: Final = np.array([0.7, 0.3, 0.0, 0.0], np.float32)
"""The same of a choice with `MANY_TEXTS` or more: where much is said, the nearest of it says enough."""
MANY_TEXTS: Final = 10


class Rows:
    """Row numbers of several choices as one table, so that all of them are scored by a few operations."""

    def __init__(self, each: list[NDArray[np.int32]]) -> None:
        self.each = each
        self._counts = np.array([len(rows) for rows in each], np.float32)
        width = max((len(rows) for rows in each), default=0)
        self._table = np.zeros((len(each), width), np.int32)
        self._is_empty = np.ones(self._table.shape, bool)
        for number, rows in enumerate(each):
            self._table[number, : len(rows)] = rows
            self._is_empty[number, : len(rows)] = False

    @property
    def size_bytes(self) -> int:
        """What the arrays take."""
        rows = sum(rows.nbytes for rows in self.each)
        return rows + self._table.nbytes + self._is_empty.nbytes

    def of(self, likeness: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one row a choice, -1 where it has no further text."""
        found = likeness[self._table]
        found[self._is_empty] = -1
        return found

    def nearest_weights(self) -> NDArray[np.float32]:
        """Return what the nearest few texts of each choice count, 1 together; one with fewer texts is judged by those."""
        places = np.arange(min(len(NEAREST_WEIGHTS), self._table.shape[1]))
        says_much = self._counts[:, None] >= MANY_TEXTS
        weights = np.where(says_much, NEAREST_OF_MANY[places], NEAREST_WEIGHTS[places])
        weights[places >= self._counts[:, None]] = 0
        shares: NDArray[np.float32] = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def mean(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean likeness of each choice's texts, from what `of` returned."""
        mean: NDArray[np.float32] = np.where(self._is_empty, 0, found).sum(axis=1) / self._counts
        return mean
