"""What an entry costs in memory, so that a cap in bytes is one of the process's own growth."""

from __future__ import annotations

from cachemw.engine.model.entry import Item, VaryMarker
from cachemw.stores.memory.interning import is_shared_name, own_pairs

__all__ = ["FIXED_COST", "PAGE", "cost"]

# Bytes on a 64-bit CPython, each rounded up to the allocator's 16.
_BYTES_OVERHEAD = 33
_BYTES_ROUNDED = _BYTES_OVERHEAD + 15
_TEXT_OVERHEAD = 49
_TUPLE_OVERHEAD = 40  # with the garbage collector's 16
_PAIR = 64  # a tuple of two
_FLOAT = 32
_POSITION = 48  # 80 with its 128-bit integer, shared by all that was begun between two purges
_ENTRY_OBJECT = 144
_INDEX_SLOT = 56  # dict: 24 bytes an entry and 4-8 an index, between 1/3 and 2/3 full
_ORDER_SLOT = 16  # a place in the queues, one in the sweep
PAGE = 4096
_HOLES = 5
"""Bodies larger than a page cost a fifth more than they are long.

malloc keeps them one behind the other, and where one of another size takes the place of one that
went, a hole is left that may hold whole pages. `bench/churned.py` measures it: tiers of mixed sizes
that were replaced twenty times over keep 20 to 25 % more than their bodies, for all that `trimming`
gives back; tiers of bodies smaller than a page keep nothing more.
"""
_VARIANT = 200
"""For an entry that varies: its place in the count of variants (100), and as much for the pages that
keys of variants leave half full, which come and go with the memo. Measured as above."""
_KEY = 64  # the digest's 24 bytes
FIXED_COST = _ENTRY_OBJECT + 4 * _FLOAT + _POSITION + _INDEX_SLOT + _ORDER_SLOT + _KEY


def cost(entry: Item) -> int:
    """Estimate the bytes of memory that this entry alone keeps, the tier's own structures included.

    What it shares with other entries (interned fields, the route's name, the epoch) is not counted.
    """
    total = FIXED_COST + _sized(entry.body) + _tuple(len(entry.headers))
    if len(entry.body) > PAGE:
        total += len(entry.body) // _HOLES
    for name, value in own_pairs(entry.headers):
        total += _PAIR + ((_BYTES_ROUNDED + len(value)) & ~15)  # `_sized`, in place: each put asks
        if not is_shared_name(name):
            total += _sized(name)
    if entry.tags:
        total += _tuple(len(entry.tags))
        for tag in entry.tags:
            total += (_TEXT_OVERHEAD + len(tag) + 15) & ~15
    if type(entry) is VaryMarker:
        total += _VARIANT + _tuple(len(entry.names)) + sum(map(_sized, entry.names))
    elif entry.vary:
        total += _VARIANT + _tuple(len(entry.vary))
        for name, selected in entry.vary:
            total += _PAIR + _sized(name) + (_sized(selected) if selected else 0)
    return total


def _sized(value: bytes) -> int:
    return (_BYTES_OVERHEAD + len(value) + 15) & ~15


def _tuple(length: int) -> int:
    return (_TUPLE_OVERHEAD + 8 * length + 15) & ~15
