"""Which contracts are worth asking: an index of what each one requires, so that a message is put to few of many agents.

Every contract is filed under its rarest requirement (a key the data must have, or a string it must hold there) and is looked at
only where the data meets it; a contract that requires nothing is always looked at. Exact: what the index leaves out, the
contract would have refused. Agents with equal schemas share one contract, which is asked once for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from signalbox.definitions.requirements import Condition, Conditions, Path

NEAR: Final = 10
"""How many contracts are compared, at most, to find the nearest misses."""

Feature = tuple[Path, str | None]
"""A key path, or a string at it: what data can have."""


class _Filed:
    """One way to satisfy contract number `contract`."""

    __slots__ = ("_keys", "_others", "conditions", "contract")

    def __init__(self, contract: int, conditions: Conditions) -> None:
        self.contract = contract
        self.conditions = conditions
        # Most conditions are keys of the data itself: one set operation for all of them.
        self._others = [one for one in conditions if one.values is not None or len(one.path) > 1]
        self._keys = frozenset(one.path[0] for one in conditions if one not in self._others)

    def unmet(self, data: Mapping[str, Any]) -> int:
        missing = len(self._keys.difference(data))
        for condition in self._others:
            missing += not condition.holds(data)
        return missing


@dataclass(slots=True)
class _Place:
    """What is filed under one feature. `bearers`: contracts that ask for it at all, at most `NEAR`; `count`: how many do."""

    filed: list[_Filed] = field(default_factory=list)
    bearers: list[int] = field(default_factory=list)
    count: int = 0


@dataclass(slots=True)
class _Node:
    """A key of the data: what is filed under its presence, under its string, and under the keys below it."""

    present: _Place = field(default_factory=_Place)
    strings: dict[str, _Place] = field(default_factory=dict)
    below: dict[str, _Node] = field(default_factory=dict)


class ContractIndex:
    """Built once per set of contracts, asked once per message."""

    def __init__(self, required: Sequence[Sequence[Conditions]]) -> None:
        """File every contract; `required[n]` is what `requirements` says of number `n`."""
        self._ways = [
            [_Filed(number, conditions) for conditions in ways]
            for number, ways in enumerate(required)
        ]
        self._always = [filed for filed in self._all() if not filed.conditions]
        self._root = _Node()
        counts = Counter(
            feature
            for filed in self._all()
            for condition in filed.conditions
            for feature in _features(condition)
        )
        for filed in self._all():
            if filed.conditions:
                rarest = min(filed.conditions, key=lambda one: _rarity(one, counts))
                for feature in _features(rarest):
                    self._place(feature).filed.append(filed)
            for condition in filed.conditions:
                for feature in _features(condition):
                    self._bear(feature, filed.contract)

    def possible(self, data: Mapping[str, Any]) -> list[int]:
        """Return the numbers of the contracts that may accept `data`; every other one refuses it."""
        filed = [*self._always]
        for place in _met(self._root, data):
            filed += place.filed
        return list(dict.fromkeys(one.contract for one in filed if not one.unmet(data)))

    def nearest(self, data: Mapping[str, Any], without: Iterable[int], count: int) -> list[int]:
        """Return up to `count` contracts that `data` misses by little, the nearest first; none of `without`.

        Compared are those with the rarest features of `data`, then any: with few agents the answer is exact, with many good.
        """
        left_out = set(without)
        near: dict[int, tuple[int, int]] = {}
        for number in self._around(data):
            if number not in left_out and number not in near:
                near[number] = self._distance(number, data)
                if len(near) == NEAR:
                    break
        return sorted(near, key=lambda number: (near[number], number))[:count]

    def ranked(self, data: Mapping[str, Any], numbers: Iterable[int]) -> list[int]:
        """Return `numbers`, the nearest to `data` first."""
        return sorted(numbers, key=lambda number: (self._distance(number, data), number))

    def _distance(self, number: int, data: Mapping[str, Any]) -> tuple[int, int]:
        """How many conditions are not met; where that is equal, the more are met the nearer."""
        distances = []
        for filed in self._ways[number]:
            unmet = filed.unmet(data)
            distances.append((unmet, unmet - len(filed.conditions)))
        return min(distances)

    def _all(self) -> Iterator[_Filed]:
        for ways in self._ways:
            yield from ways

    def _around(self, data: Mapping[str, Any]) -> Iterator[int]:
        for place in sorted(_met(self._root, data), key=lambda place: place.count):
            yield from place.bearers
        yield from range(len(self._ways))

    def _bear(self, feature: Feature, contract: int) -> None:
        place = self._place(feature)
        place.count += 1
        if len(place.bearers) < NEAR and contract not in place.bearers:
            place.bearers.append(contract)

    def _place(self, feature: Feature) -> _Place:
        path, string = feature
        node = self._root
        for key in path:
            node = node.below.setdefault(key, _Node())
        return node.present if string is None else node.strings.setdefault(string, _Place())


def _features(condition: Condition) -> list[Feature]:
    if condition.values is None:
        return [(condition.path, None)]
    return [(condition.path, value) for value in sorted(condition.values)]


def _rarity(condition: Condition, counts: Counter[Feature]) -> int:
    return max((counts[feature] for feature in _features(condition)), default=0)


def _met(node: _Node, data: Mapping[str, Any]) -> Iterator[_Place]:
    """Yield every place whose feature `data` has; as many steps as the smaller of the two is wide."""
    below = node.below
    for key in data if len(data) <= len(below) else below:
        if key in below and key in data:
            inner, value = below[key], data[key]
            yield inner.present
            if isinstance(value, str) and value in inner.strings:
                yield inner.strings[value]
            elif inner.below and isinstance(value, dict):
                yield from _met(inner, value)
