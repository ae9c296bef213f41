"""One shared copy of headers that many responses have in common.

Most headers repeat from entry to entry (`content-type: application/json`), and all names do. When a
pair comes for the second time, it is put into a table, and later entries share the table's copy.
Values that never repeat (an ETag, a date) do not reach the table. They only pass through a small set of
pairs that were seen once, which is emptied when it is full.

The tables are bounded and never forget a pair, and a pair in a table is always a *new* object. So
whether an entry shares a pair is decided when its headers are interned, and never changes later. For
that reason the memory tier can compute the cost of an entry again when it is removed, and need not
store it.
"""

from __future__ import annotations

from cachemw.engine.model.entry import HeaderPairs

__all__ = ["intern_pairs", "is_shared_name", "own_pairs"]

Pair = tuple[bytes, bytes]

TABLE_CAP = 4096
"""The most pairs, and the most names, in the tables. They are never removed."""
SEEN_CAP = 4096
"""The most pairs that are remembered as seen once."""
LONGEST = 256
"""Bytes of name and value together. With it, the tables stay below about 4 MB."""

_pairs: dict[Pair, Pair] = {}
_names: dict[bytes, bytes] = {}
_seen_once: set[Pair] = set()


def intern_pairs(pairs: HeaderPairs) -> HeaderPairs:
    """Return the same pairs, in the same order, with shared objects where possible."""
    return tuple([_pairs.get(pair) or _admit(pair) for pair in pairs])


def own_pairs(pairs: HeaderPairs) -> list[Pair]:
    """Return the pairs that are not objects of the table. Only these cost memory for their entry."""
    return [pair for pair in pairs if _pairs.get(pair) is not pair]


def is_shared_name(name: bytes) -> bool:
    """Tell whether this header name is an object of the table."""
    return _names.get(name) is name


def _admit(pair: Pair) -> Pair:
    name, value = pair
    if len(name) + len(value) > LONGEST:
        return pair
    shared_name = _names.get(name) or _admit_name(name)
    if pair in _seen_once and len(_pairs) < TABLE_CAP:
        _seen_once.discard(pair)
        return _pairs.setdefault(pair, (shared_name, value))
    if len(_seen_once) >= SEEN_CAP:
        _seen_once.clear()
    _seen_once.add(pair)
    return pair if name is shared_name else (shared_name, value)


def _admit_name(name: bytes) -> bytes:
    if len(_names) >= TABLE_CAP:
        return name
    return _names.setdefault(name, bytes(bytearray(name)))  # a copy: bytes(name) would be itself
