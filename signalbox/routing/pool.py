"""The agents of one version, grouped by contract: agents with equal input schemas are asked once, and most are not asked at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from signalbox.definitions.contract import Contract, schema_digest
from signalbox.definitions.requirements import requirements
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.contract_index import ContractIndex


class Pool:
    """Built once per version. A contract is compiled when it is first asked, and shared by versions and subtasks."""

    def __init__(self, definitions: Mapping[str, AgentDefinition]) -> None:
        by_schema: dict[str, list[str]] = {}
        for name in sorted(definitions):
            digest = schema_digest(definitions[name].input.json_schema)
            by_schema.setdefault(digest, []).append(name)
        self._definitions = definitions
        self._groups = list(by_schema.values())
        self._group_of = {
            name: number for number, names in enumerate(self._groups) for name in names
        }
        self._index = ContractIndex(
            [requirements(definitions[names[0]].input.json_schema) for names in self._groups]
        )

    def __len__(self) -> int:
        """How many agents it weighs."""
        return len(self._group_of)

    def accepting(self, data: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the groups whose contract accepts `data`."""
        possible = self._index.possible(data)
        return tuple(number for number in possible if self._contract(number).accepts(data))

    def names(self, groups: Iterable[int]) -> list[str]:
        """Return the agents of `groups`, in name order."""
        lists = [self._groups[number] for number in groups]
        return lists[0] if len(lists) == 1 else sorted(name for names in lists for name in names)

    def nearest(
        self,
        data: Mapping[str, Any],
        without: Iterable[int],
        count: int,
        allowed: frozenset[str] | None,
    ) -> list[tuple[str, Contract]]:
        """Return up to `count` agents whose contract refuses `data`, the nearest first; the `allowed` ones before the others.

        Args:
            data: the message's data.
            without: the groups that accept it.
            count: how many.
            allowed: the sender's handoffs; None means all.
        """
        left_out = set(without)
        found: list[str] = []
        if allowed is not None:
            groups = {self._group_of[name] for name in allowed if name in self._group_of}
            ranked = self._index.ranked(data, groups - left_out)
            found = [name for number in ranked for name in self._groups[number] if name in allowed]
        if len(found) < count:
            near = self._index.nearest(data, left_out, count)
            others = (name for number in near for name in self._groups[number][:count])
            found = list(dict.fromkeys((*found, *others)))
        return [(name, self._contract(self._group_of[name])) for name in found[:count]]

    def _contract(self, group: int) -> Contract:
        return self._definitions[self._groups[group][0]].input.contract
