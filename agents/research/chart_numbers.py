"""Reads numbers with their labels out of a text: `Berlin 3.7, Hamburg 1.9` or `2021: 5; 2022: 7`. Pure, and in linear time.

It reads what stands there and guesses nothing: a number without a label counts only where none has one, and a unit that stands once,
behind the last number of a list, is that of the whole list: `Berlin 3.7, Hamburg 1.9 and Munich 1.5 million`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agents.research.chart_spec import MAX_LABEL_CHARS, MAX_VALUE

MAX_READ_CHARS: Final = 64 * 1024

# A comma between digits belongs to a number only where three digits follow: `1,200`. Nothing here repeats without bound
# in front of what must follow, so no text takes more than its length.
_SEPARATOR: Final = re.compile(r"[;\n]|,(?!\d{3}(?!\d))|(?<=\s)and(?=\s)")
_NUMBER: Final = re.compile(
    r"(?<![\w.\-/])[-+−]?\d{1,15}(?:,\d{3}){0,4}(?:\.\d{1,15})?(?!\w{0,20}\d)(?=$|[\s,;:)%!?/]|\.(?!\d)|[A-Za-z€$£%°])"
)
_UNIT: Final = re.compile(r"\s?(%|percent|thousand|million|billion|trillion)s?\b|\s?%")
_WORD: Final = re.compile(r"[^\s:=()\[\]{}\"“”]+")
_MAX_LABEL_WORDS: Final = 4
# What ends a list: its unit is not that of the numbers before.
_LIST_END: Final = re.compile(r"\n|[.!?](?=\s)")

# Words in front of a label that are no part of it: `Draw Berlin 3.7`, `the sales of apples 5`.
_FILLERS: Final = (
    "a about an and are as at bar be by can chart compare count data diagram draw for from give graph had has have in is it its "
    "make me number numbers of on our pie plot please show than that the their them these this those to total values visualise "
    "visualize was we were where which with you your between over"
)
_NOT_A_LABEL: Final = frozenset(_FILLERS.split())


@dataclass(frozen=True, slots=True)
class Labelled:
    """One number as it stands in a text. `unit` is `%`, `million` and the like; empty where there is none."""

    label: str
    value: float
    unit: str


def labelled_numbers(text: str) -> tuple[Labelled, ...]:
    """Return the numbers of `text` that have a label, in order; of a label that comes again, the last number.

    Where no number has a label, all of them, labelled by their place.
    """
    with_label: dict[str, Labelled] = {}
    without: list[Labelled] = []
    for one_list in _lists(text[:MAX_READ_CHARS]):
        for found in _with_one_unit(one_list):
            if found.label:
                with_label[found.label] = found
            else:
                without.append(found)
    if with_label:
        return tuple(with_label.values())
    return tuple(
        Labelled(str(place), one.value, one.unit) for place, one in enumerate(without, start=1)
    )


def numbers_in(text: str) -> frozenset[float]:
    """Return every number that stands in `text`, whatever it is of."""
    return frozenset(
        value
        for match in _NUMBER.finditer(text[:MAX_READ_CHARS])
        if (value := _value(match[0])) is not None
    )


def _lists(text: str) -> Iterator[list[Labelled]]:
    """Yield the numbers of each list of the text: what neither a line's nor a sentence's end divides."""
    one_list: list[Labelled] = []
    ended = begun = 0
    separators = (match.span() for match in _SEPARATOR.finditer(text))
    for until, after in (*separators, (len(text), len(text))):
        found = _in_part(text[begun:until])
        if found is not None:
            number, (start, stop) = found
            if _LIST_END.search(text, ended, begun + start):
                yield one_list
                one_list = []
            one_list.append(number)
            ended = begun + stop
        begun = after
    yield one_list


def _with_one_unit(numbers: Sequence[Labelled]) -> Iterator[Labelled]:
    """Give the unit behind the last number of a list to those that have none; where another unit stands, nobody knows whose it is."""
    units = {one.unit for one in numbers}
    last = numbers[-1].unit if numbers else ""
    for one in numbers:
        yield replace(one, unit=last) if units == {"", last} else one


def _in_part(part: str) -> tuple[Labelled, tuple[int, int]] | None:
    """Return the one number of a part between separators, and where it stands: behind the last colon the first, as in `2021: 5`."""
    head, colon, tail = _cut(part)
    match = _NUMBER.search(tail)
    if match is None:
        return None
    value = _value(match[0])
    if value is None:
        return None
    label = _label(tail[: match.start()])
    if not label and colon:
        label = _label(_cut(head)[2])
    unit = _UNIT.match(tail, match.end())
    said = unit[0].strip().removesuffix("s") if unit else ""
    offset = len(part) - len(tail)
    span = (offset + match.start(), offset + (unit or match).end())
    return Labelled(label, value, "%" if said == "percent" else said), span


def _cut(part: str) -> tuple[str, str, str]:
    place = max(part.rfind(":"), part.rfind("="))
    return ("", "", part) if place < 0 else (part[:place], part[place], part[place + 1 :])


def _label(text: str) -> str:
    """Return the last words of `text` up to one that is no part of a label."""
    words: list[str] = []
    for word in reversed(_WORD.findall(text[-200:])):
        bare = word.strip(".,!?-–—•*·")
        if not bare:
            if words:
                break
            continue
        # One letter right before a number names something: `a 5, b 7`.
        is_part = len(bare) == 1 and not words
        if len(words) == _MAX_LABEL_WORDS or (not is_part and bare.lower() in _NOT_A_LABEL):
            break
        words.insert(0, bare)
    return " ".join(words)[:MAX_LABEL_CHARS]


def _value(text: str) -> float | None:
    value = float(text.replace(",", "").replace("−", "-"))
    return value if abs(value) <= MAX_VALUE else None
