"""Labelled rows as what a calibration is fitted on: the questions they raise, and how near each was to every candidate.

Rows that contracts decide teach nothing, and neither do rows with several right answers or one that is no candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from signalbox.contracts.chat import ChatRequest
from signalbox.contracts.decision import NONE
from signalbox.evaluation.rows import LabelledRow
from signalbox.evaluation.trial import Trial
from signalbox.matching.fit import LabelledScores
from signalbox.routing.rules import Rulebook

Signals = Callable[
    [str, Mapping[str, tuple[str, ...]]], tuple[Mapping[str, float], Mapping[str, float]]
]
"""(query, choices) → likeness of meaning and of words, by choice; `matching.scorer.Scorer.signals`."""


def labelled_scores(
    rows: Sequence[LabelledRow],
    rulebook: Rulebook,
    signals: Signals,
    progress: Callable[[int], None],
) -> list[LabelledScores]:
    """Return one entry for each row of which a model would be asked and that has one right answer among the candidates.

    Raises:
        RetryableError, TerminalError: the embedder's.
    """
    found = []
    for done, row in enumerate(rows, start=1):
        request = _question(row, rulebook)
        progress(done)
        if request is None or not _teaches(row, request):
            continue
        dense, lexical = signals(request.query, request.choices)
        found.append(LabelledScores(row.expected[0], dense, lexical))
    return found


def _question(row: LabelledRow, rulebook: Rulebook) -> ChatRequest | None:
    trial = Trial(row, rulebook)
    trial.begin()
    return None if trial.question is None else trial.question.request


def _teaches(row: LabelledRow, request: ChatRequest) -> bool:
    expected = row.expected[0]
    return not row.is_ambiguous and (expected == NONE or expected in request.choices)
