"""The memory that an entry uses, so that the limit in bytes bounds the real growth of the process."""

from __future__ import annotations

from cachemw.engine.model.entry import EntryWithHoles, Item, VaryMarker
from cachemw.stores.memory.interning import is_shared_name, own_pairs

__all__ = ["FIXED_COST", "PAGE", "cost"]

# Bytes of objects in a 64-bit CPython. The allocator rounds each object up to a multiple of 16.
_BYTES_OVERHEAD = 33
_BYTES_ROUNDED = _BYTES_OVERHEAD + 15
_TEXT_OVERHEAD = 49
_TUPLE_OVERHEAD = 40  # with the garbage collector's 16
_PAIR = 64  # a tuple of two
_FLOAT = 32
_POSITION = 48  # 80 with its 128-bit integer; entries made between two purges share it
_ENTRY_OBJECT = 144
_INDEX_SLOT = 56  # dict: 24 bytes an entry and 4-8 an index, between 1/3 and 2/3 full
_ORDER_SLOT = 16  # a place in the eviction queues and one in the prune iterator
PAGE = 4096
_HOLES = 5
"""A body larger than a page costs one fifth more than its length.

Such bodies leave holes in the heap of malloc, when one of another size takes the place of a removed
one. `bench/churned.py` measures it: tiers with bodies of mixed sizes, replaced twenty times over, use
20 to 25 % more than the bodies alone, even after `malloc_trim`. Bodies smaller than a page have no such
overhead.
"""
_HOLE = 96
"""A hole with its place and one argument."""
_LEARNED = 320
"""What is known of a key whose lifetimes are learned: an object with a digest and ten numbers."""
_VARIANT = 200
"""For an entry with Vary: 100 bytes for its place in the count of variants, and 100 for memory pages that
are half empty, because variant keys are made and freed with the plan memo. Measured as above."""
_KEY = 64  # the digest's 24 bytes
FIXED_COST = _ENTRY_OBJECT + 4 * _FLOAT + _POSITION + _INDEX_SLOT + _ORDER_SLOT + _KEY


def cost(entry: Item) -> int:
    """Return an estimate of the bytes that this entry alone uses, including its place in the tier.

    Parts that it shares with other entries (interned headers, the route's name, the epoch) do not
    count.
    """
    total = FIXED_COST + _sized(entry.body) + _tuple(len(entry.headers))
    if len(entry.body) > PAGE:
        total += len(entry.body) // _HOLES
    for name, value in own_pairs(entry.headers):
        # `_sized`, inlined for speed: every `put` comes here.
        total += _PAIR + ((_BYTES_ROUNDED + len(value)) & ~15)
        if not is_shared_name(name):
            total += _sized(name)
    if entry.tags:
        total += _tuple(len(entry.tags))
        for tag in entry.tags:
            total += (_TEXT_OVERHEAD + len(tag) + 15) & ~15
    if type(entry) is EntryWithHoles:
        total += _HOLE * len(entry.holes)
    if type(entry) is VaryMarker:
        total += _VARIANT + _tuple(len(entry.names)) + sum(map(_sized, entry.names))
        return total
    if entry.learned is not None:
        total += _LEARNED
    if entry.vary:
        total += _VARIANT + _tuple(len(entry.vary))
        for name, selected in entry.vary:
            total += _PAIR + _sized(name) + (_sized(selected) if selected else 0)
    return total


def _sized(value: bytes) -> int:
    return (_BYTES_OVERHEAD + len(value) + 15) & ~15


def _tuple(length: int) -> int:
    return (_TUPLE_OVERHEAD + 8 * length + 15) & ~15
