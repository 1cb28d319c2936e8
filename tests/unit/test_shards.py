"""Shards: stable, and spread evenly whatever the parallelism."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.operators.shards import (
    MAX_PARALLELISM,
    SHARD_KEYS,
    SHARDS,
    key_group,
    key_of,
    shard_of,
    subtask_of,
)


@pytest.mark.parametrize("parallelism", [1, 2, 4, 8, 16, 32, 64])
def test_shard_keys_any_parallelism_split_evenly(parallelism: int) -> None:
    """Every subtask owns the same number of shards."""
    owned = Counter(subtask_of(key, parallelism) for key in SHARD_KEYS)

    assert set(owned) == set(range(parallelism))
    assert set(owned.values()) == {SHARDS // parallelism}


def test_shard_keys_are_the_ones_savepoints_hold() -> None:
    """The keys never change: state in a savepoint is filed under them."""
    assert SHARD_KEYS[:8] == (250, 89, 39, 220, 295, 136, 23, 73)
    assert SHARD_KEYS[-8:] == (101, 307, 24, 52, 29, 114, 25, 67)
    assert len(set(SHARD_KEYS)) == SHARDS


def test_key_group_known_keys_match_flink() -> None:
    """The key groups are those that Flink itself computed for one-field rows around these numbers."""
    assert [key_group(key) for key in (0, 1, 2, 17, 12345)] == [33, 44, 97, 107, 80]


def test_shard_of_known_conversations_stays_the_same() -> None:
    """The shard of a conversation is the same in every process and version."""
    assert [shard_of(name) for name in ("c-1", "lead-42", "ünïcode", "")] == [25, 41, 18, 62]


@given(st.text(max_size=300))
def test_key_of_any_text_is_a_shard_key(conversation: str) -> None:
    """Whatever a conversation is called, lone surrogates included, it has a shard."""
    assert key_of(conversation) in SHARD_KEYS
    assert 0 <= key_group(key_of(conversation)) < MAX_PARALLELISM


def test_shard_of_many_conversations_uses_all_shards_evenly() -> None:
    """Ten thousand numbered conversations fill all 64 shards, none with twice its share."""
    sizes = Counter(shard_of(f"lead-{number}") for number in range(10_000))

    assert len(sizes) == SHARDS
    assert max(sizes.values()) < 2 * 10_000 / SHARDS
