"""Words of an English text as stems, for the embedded scorer: lower case, light stemming, function words marked.

No dictionary and no network: what makes two words the same here is spelling alone.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)?")

# Words that say how, not what. Alone they weigh little; beside each other ("who are you") they still say something.
FUNCTION_WORDS: Final = frozenset(
    word
    for line in (
        "a an the this that these those there here it its it's i i'm i'd i've i'll me my mine",
        "we we're we'd we've we'll us our you you're your yours he she they them their his her",
        "who's what's that's let's and or but if so than then as of at by for with from to in into",
        "on onto off up down out over under about is am are was were be been being do does did doing",
        "done don't doesn't didn't has have had having can can't cannot could couldn't will won't",
        "would wouldn't shall should may might must not no nor yes ok okay just only also too very",
        "really quite please thanks thank hi hello hey dear how what when where which who whom why",
        "whether because while during until some any all each every both few more most other such",
        "same own one ones get gets got go goes going say says said thing things something anything",
    )
    for word in line.split()
)

_SUFFIXES: Final = (
    ("ational", "ate"),
    ("ization", "ize"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("ations", "ate"),
    ("ation", "ate"),
    ("ments", ""),
    ("ment", ""),
    ("ings", ""),
    ("ing", ""),
    ("edly", ""),
    ("ies", "y"),
    ("ied", "y"),
    ("ers", ""),
    ("er", ""),
    ("ed", ""),
    ("ly", ""),
    ("es", ""),
    ("s", ""),
)
_SHORTEST_STEM: Final = 3


def words(text: str) -> list[str]:
    """Return the stems of `text` in order; function words stay as they are.

    `"Scheduled a demo"` and `"scheduling demos"` give the same two stems.
    """
    return [stemmed for stemmed, _ in stems_and_words(text)]


def stems_and_words(text: str) -> list[tuple[str, str]]:
    """Return each word of `text` in order, as its stem and as it was written in lower case."""
    normal = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    return [
        (word if word in FUNCTION_WORDS else stem(word), word) for word in _WORD.findall(normal)
    ]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Cut one suffix off `word`, keeping at least three letters; numbers and short words stay as they are."""
    word = word.removesuffix("'s")
    if len(word) <= _SHORTEST_STEM or not word.isalpha() or word.endswith("ss"):
        return word
    for suffix, replacement in _SUFFIXES:
        root = word[: -len(suffix)] + replacement
        if word.endswith(suffix) and len(root) >= _SHORTEST_STEM and _has_vowel(root):
            return _even_out(root)
    return _even_out(word)


def _has_vowel(root: str) -> bool:
    return any(letter in "aeiouy" for letter in root)


def _even_out(root: str) -> str:
    # "planning" → "plann" → "plan", "schedule" → "schedul", "company" → "compani"
    if len(root) > _SHORTEST_STEM and root[-1] == root[-2] and root[-1] not in "lsz":
        root = root[:-1]
    if len(root) > _SHORTEST_STEM and root.endswith("e"):
        return root[:-1]
    if len(root) > _SHORTEST_STEM and root.endswith("y"):
        return root[:-1] + "i"
    return root
