"""Who is nearer: the order of candidates that a scorer scored.

Likeness below 0 scores 0, and scores are rounded, so scores can be equal where likenesses are not. A scorer therefore gives
its scores nearest first, and whoever orders by score keeps that order among equals: a list of the nearest would else be
filled up by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def nearest_first(names: Iterable[str], scores: Mapping[str, float]) -> list[str]:
    """Return `names` by falling score, equals in the order of `scores`; whoever has no score counts as 0 and comes after.

    Args:
        names: whom to order, each once.
        scores: score by name, the nearest first; others may be among them.
    """
    wanted = list(names)
    among = set(wanted)
    listed = [name for name in scores if name in among]
    listed += [name for name in wanted if name not in scores]
    return sorted(listed, key=lambda name: -scores.get(name, 0.0))
