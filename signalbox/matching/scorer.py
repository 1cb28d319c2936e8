"""Two likenesses of a text to each of many choices: by meaning (vectors) and by words. Nothing is decided here.

A choice is as near as its nearest duties and examples: the four nearest count, falling, or the two nearest of many, and the
mean of all a little. One text alone would make every odd example a magnet, and the mean alone would forget what an agent
does besides. Choices with examples are put in order by a classifier besides.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.matching.classifier import learn, learned_places
from signalbox.matching.combine import as_scores, blend
from signalbox.matching.duties import cut
from signalbox.matching.embedder import Embedder
from signalbox.matching.late import LateInteraction
from signalbox.matching.lexical import LexicalIndex, Vocabulary
from signalbox.matching.rows import NEAREST_WEIGHTS, Rows
from signalbox.matching.vectors import Kept, VectorStore

MEAN_WEIGHT: Final = np.float32(0.3)
"""How much the mean of all texts of a choice counts beside its nearest."""
_INDEXES_KEPT: Final = 64
_CHOICES_KEPT: Final = 20_000
"""Of all indexes together; beyond it those that were built first are forgotten."""
_MAX_ROWS: Final = 200_000
"""Texts in the vector store before it is begun anew: 300 MB with MiniLM."""

Choices = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Signals:
    """Scores in the order of `names`, before they are combined. What a choice refused is 0 in both."""

    names: tuple[str, ...]
    dense: NDArray[np.float64]
    lexical: NDArray[np.float64]
    refused: frozenset[str]
    nearest: Callable[[str], str]
    """Says which text of a choice is nearest to the query."""

    def combined(self, lexical_weight: float) -> dict[str, float]:
        """Return one score in [0, 1] by choice, the nearest first, also among those that score 0; who refused comes last."""
        blended = blend(self.dense, self.lexical, lexical_weight)
        if self.refused:
            blended[[name in self.refused for name in self.names]] = -np.inf
        order = np.argsort(-blended, kind="stable")
        names = [self.names[place] for place in order.tolist()]
        return dict(zip(names, as_scores(blended[order]), strict=True))


class Scorer:
    """Scores texts against sets of choices. Equal questions have equal scores, whatever was asked before.

    One thread at a time may build indexes; any may place texts in those that are ready.
    """

    def __init__(self, embedder: Embedder, kept: Kept | None = None) -> None:
        """Score with `embedder`; `kept` are vectors of an earlier run."""
        self.embedder = embedder
        self._kept = kept
        self._vectors = VectorStore(embedder, kept)
        self._vocabulary = Vocabulary()
        self._lock = threading.Lock()
        self._by_content: OrderedDict[tuple[tuple[str, tuple[str, ...]], ...], Index] = (
            OrderedDict()
        )
        # Choices are the same object from message to message; to compare a thousand definitions each time costs more.
        self._by_identity: OrderedDict[int, tuple[Choices, Index]] = OrderedDict()

    def signals(
        self, query: str, choices: Choices
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Return how near `query` is to each of `choices`: by meaning and by words, each at most 1.

        Args:
            query: the text to place.
            choices: name → its description, then what it takes and its examples. May not be changed afterwards.

        Raises:
            RetryableError, TerminalError: the embedder's.
        """
        found = self.place(query, choices)
        dense, lexical = found.dense.tolist(), found.lexical.tolist()
        return (
            dict(zip(found.names, dense, strict=True)),
            dict(zip(found.names, lexical, strict=True)),
        )

    def place(self, query: str, choices: Choices) -> Signals:
        """Return the same with what explains it."""
        return self.place_in(self.find(choices) or self.index(choices), query)

    def place_in(self, index: Index, query: str) -> Signals:
        """Return the same for an index that is there."""
        return index.place(query)

    def find(self, choices: Choices) -> Index | None:
        """Return the index of `choices` if it is ready."""
        with self._lock:
            known = self._by_identity.get(id(choices))
            if known is not None and known[0] is choices:
                self._by_identity.move_to_end(id(choices))
                return known[1]
            index = self._by_content.get(tuple(choices.items()))
            if index is not None:
                self._remember(choices, index)
            return index

    def index(self, choices: Choices) -> Index:
        """Return the index of `choices`, building what of it is new.

        Raises:
            RetryableError, TerminalError: the embedder's.
            Stopped: `stop` was called meanwhile.
        """
        index = self.find(choices)
        if index is not None:
            return index
        if len(self._vectors) > _MAX_ROWS:
            # Texts of definitions that are long gone are in there; indexes that are still asked keep theirs.
            self._vectors = VectorStore(self.embedder, self._kept)
            self._vocabulary = Vocabulary()
        index = Index(choices, self._vectors, self._vocabulary)
        with self._lock:
            self._remember(choices, index)
        return index

    @property
    def texts(self) -> int:
        """How many texts have a vector."""
        return len(self._vectors)

    @property
    def size_bytes(self) -> int:
        """What vectors, texts and the newest index take in memory."""
        with self._lock:
            newest = next(reversed(self._by_content.values()), None)
        arrays = self._vectors.size_bytes + self._vocabulary.size_bytes
        return arrays + (newest.size_bytes if newest is not None else 0)

    def stop(self) -> None:
        """Let an index that is being built end with `Stopped`."""
        self._vectors.stop()

    def _remember(self, choices: Choices, index: Index) -> None:
        by_content, by_identity = self._by_content, self._by_identity
        by_content[tuple(choices.items())] = index
        by_identity[id(choices)] = (choices, index)
        while len(by_identity) > _INDEXES_KEPT:
            by_identity.popitem(last=False)
        total = sum(len(kept) for kept in by_content.values())
        while len(by_content) > 1 and (len(by_content) > _INDEXES_KEPT or total > _CHOICES_KEPT):
            total -= len(by_content.popitem(last=False)[1])


class Index:
    """One set of choices: which rows of the vector store are whose, and the words."""

    def __init__(self, choices: Choices, vectors: VectorStore, vocabulary: Vocabulary) -> None:
        self._vectors = vectors
        self._names = tuple(choices)
        self._duties = [cut(name, texts) for name, texts in choices.items()]
        vectors.add(text for duties in self._duties for text in (*duties.wanted, *duties.refused))
        self._wanted = Rows([vectors.rows(duties.wanted) for duties in self._duties])
        self._refused = Rows([vectors.rows(duties.refused) for duties in self._duties])
        self._nearest_weights = self._wanted.nearest_weights()
        self._mean_lengths = np.maximum(vectors.lengths_of_means(self._wanted.each), 1e-6)
        documents = [vocabulary.document(duties.wanted) for duties in self._duties]
        self._lexical = LexicalIndex(documents, vocabulary)
        members = learned_places(choices)
        rows = [self._wanted.each[place] for place in members]
        self._classifier = learn(
            members,
            vectors.at(np.concatenate(rows) if rows else np.zeros(0, np.int32)),
            np.array([len(each) for each in rows], np.intp),
            vectors.check,
        )
        said = [[text for text in vectors.tokens(each) if len(text)] for each in rows]
        # A choice of which nothing is known token by token, which no embedder of tokens leaves, is none to be compared.
        self._late = LateInteraction(members, said) if said and all(said) else None

    def __len__(self) -> int:
        return len(self._names)

    @property
    def size_bytes(self) -> int:
        """What the arrays of this index take."""
        learned = 0 if self._classifier is None else self._classifier.size_bytes
        rows = self._wanted.size_bytes + self._refused.size_bytes
        return rows + self._lexical.size_bytes + learned

    def place(self, query: str) -> Signals:
        """Score `query` against every choice."""
        vector, tokens = self._vectors.embed(query)
        likeness = self._vectors.likeness(vector)
        wanted = self._wanted.of(likeness)
        # Whole rows: numpy sorts a short one in less time than it takes to part it.
        falling = np.sort(wanted, axis=1)[:, : -len(NEAREST_WEIGHTS) - 1 : -1]
        weighted = np.einsum("ij,ij->i", falling, self._nearest_weights)
        dense = ((1 - MEAN_WEIGHT) * weighted).astype(np.float64)
        dense += MEAN_WEIGHT * (self._wanted.mean(wanted) / self._mean_lengths)
        lexical = self._lexical.score(query)
        is_refused = self._refused.of(likeness).max(axis=1, initial=-1.0) >= falling[:, 0]
        if self._classifier is not None:
            self._classifier.reorder(dense, vector, is_refused)
        if self._late is not None and tokens is not None:
            self._late.reorder(dense, lexical, tokens, is_refused)
        dense[is_refused] = 0
        lexical[is_refused] = 0
        return Signals(
            names=self._names,
            dense=dense,
            lexical=lexical,
            refused=frozenset(self._names[number] for number in np.flatnonzero(is_refused)),
            nearest=lambda name: self._nearest(name, wanted),
        )

    def _nearest(self, name: str, wanted: NDArray[np.float32]) -> str:
        number = self._names.index(name)
        return self._duties[number].wanted[int(wanted[number].argmax())]
