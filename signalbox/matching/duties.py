"""What a definition says it does, cut into texts that are each about one thing.

One vector for a whole description is the mean of everything an agent does and near to nothing of it. So a description
is cut into its sentences and each sentence into what it enumerates; what else is said stays whole, and examples keep the
mark they end with, as messages do: a question is nearer to a question. Sentences that
begin with "Not for" are kept apart: they say what an agent does not want.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_DUTIES: Final = 32
MAX_OTHERS: Final = 32
"""Examples and further texts of one choice; with its duties this bounds what one definition costs."""
MAX_TEXT_CHARS: Final = 1000
_MAX_DESCRIPTION_CHARS: Final = 16_000

_SENTENCE_END: Final = re.compile(r"(?<=[.!?;])\s+|\s*\n\s*(?:[-*•]\s+|\n)\s*")
_LIST: Final = re.compile(r",\s+(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+|\s+[-\u2013\u2014]\s+|:\s+")
_NEGATIVE: Final = re.compile(r"^\s*not for\b\s*", re.IGNORECASE)
_ENDS: Final = " \t\r\n.!?;"
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Duties:
    """The texts of one choice, none twice: what it wants and what it refuses."""

    wanted: tuple[str, ...]
    refused: tuple[str, ...]


def cut(name: str, texts: Sequence[str]) -> Duties:
    """Cut a choice into duties.

    Args:
        name: the agent's name; read as words.
        texts: its description, then what else describes it: what it takes, examples.
    """
    description, others = (texts[0], texts[1:]) if texts else ("", ())
    wanted = [words_of_name(name)]
    duties: list[str] = []
    refused: list[str] = []
    kept: list[str] = []
    for sentence in _sentences(description):
        if _NEGATIVE.match(sentence):
            refused += _LIST.split(_NEGATIVE.sub("", sentence))
        else:
            kept.append(sentence)
            duties += [sentence, *_parts(sentence)]
    wanted += [" ".join(kept), *duties[:MAX_DUTIES]]
    takes, examples = others[:1], others[1:MAX_OTHERS]
    for text in takes:
        (refused if _NEGATIVE.match(text) else wanted).append(_NEGATIVE.sub("", text))
    refused += [_NEGATIVE.sub("", text) for text in examples if _NEGATIVE.match(text)]
    said = [_within(text) for text in examples if not _NEGATIVE.match(text)]
    return Duties(_distinct(wanted, said), _distinct(refused[:MAX_DUTIES]))


def words_of_name(name: str) -> str:
    """Return a name as words: `lead_scoring` and `leadScoring` are "lead scoring"."""
    return _CAMEL.sub(" ", name).replace("_", " ").strip()


def _sentences(description: str) -> list[str]:
    sentences = _SENTENCE_END.split(description[:_MAX_DESCRIPTION_CHARS])
    return [" ".join(sentence.split()) for sentence in sentences if sentence.strip(_ENDS)]


def _parts(sentence: str) -> list[str]:
    parts = _LIST.split(sentence.strip(_ENDS))
    return parts if len(parts) > 1 else []


def _distinct(texts: list[str], whole: Sequence[str] = ()) -> tuple[str, ...]:
    """Return each of `texts` without the mark it ends with, then what of `whole` says more than that; none is empty."""
    bare = dict.fromkeys(_within(text.strip(_ENDS)) for text in texts)
    more = dict.fromkeys(
        text for text in whole if text.strip(_ENDS) and text.strip(_ENDS) not in bare
    )
    return tuple(text for text in (*bare, *more) if text)


def _within(text: str) -> str:
    return text.strip()[:MAX_TEXT_CHARS]
