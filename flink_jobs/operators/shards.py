"""Which shard a conversation belongs to: 64 keys of keyed state, fixed for good, spread evenly over subtasks.

Keyed state by shard needs one timer per busy shard instead of one per conversation. Flink assigns a key to one of
128 key groups by its hash and gives each subtask a range of groups, so 64 arbitrary keys would split unevenly (16 small integers
went 11 to 5 over two subtasks). Each shard's key is therefore chosen so that it falls into key group 2 × shard.
"""

from __future__ import annotations

import hashlib
from itertools import count
from typing import Final

SHARDS: Final = 64
MAX_PARALLELISM: Final = 128

_MASK: Final = 0xFFFFFFFF
# PyFlink keys by a one-field Row; the hash code of such a row around the int k is k + 62 (Row.hashCode, kind INSERT).
_ROW_HASH_OFFSET: Final = 62


def shard_of(conversation: str) -> int:
    """Return the shard (0-63) of a conversation: a stable hash, equal in every process and version."""
    digest = hashlib.blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=2).digest()
    return int.from_bytes(digest, "big") % SHARDS


def key_of(conversation: str) -> int:
    """Return the Flink key of a conversation's shard."""
    return SHARD_KEYS[shard_of(conversation)]


def key_group(key: int) -> int:
    """Return the key group (0-127) that Flink assigns to a PyFlink INT key ≥ 0.

    Source: Flink's KeyGroupRangeAssignment and MathUtils.murmurHash; a test pins values that Flink computed.
    """
    return _murmur(key + _ROW_HASH_OFFSET) % MAX_PARALLELISM


def subtask_of(key: int, parallelism: int) -> int:
    """Return the subtask (from 0) that owns `key` at `parallelism` (KeyGroupRangeAssignment)."""
    return key_group(key) * parallelism // MAX_PARALLELISM


def _murmur(code: int) -> int:
    code = code * 0xCC9E2D51 & _MASK
    code = _rotated(code, 15)
    code = code * 0x1B873593 & _MASK
    code = _rotated(code, 13)
    code = (code * 5 + 0xE6546B64) & _MASK
    code ^= 4
    code ^= code >> 16
    code = code * 0x85EBCA6B & _MASK
    code ^= code >> 13
    code = code * 0xC2B2AE35 & _MASK
    code ^= code >> 16
    signed = code - (1 << 32) if code & 0x80000000 else code
    return 0 if signed == -(1 << 31) else abs(signed)


def _rotated(code: int, bits: int) -> int:
    return (code << bits | code >> (32 - bits)) & _MASK


def _key_in(group: int) -> int:
    return next(key for key in count() if key_group(key) == group)


SHARD_KEYS: Final[tuple[int, ...]] = tuple(
    _key_in(shard * MAX_PARALLELISM // SHARDS) for shard in range(SHARDS)
)
"""The Flink key of each shard; state in savepoints is filed under these, so they never change."""
