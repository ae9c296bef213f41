"""One copy of what many responses say alike.

Most response fields repeat from entry to entry (`content-type: application/json`), and so do all
their names. A pair seen for the second time moves into a table, and later entries share the table's
copy. Values that never repeat (an ETag, a date) do not get in: they only pass through a small set
of what was seen once, which is emptied when full.

The tables are capped and never forget, and a pair enters as a *new* object. So whether an entry
shares a pair is settled when its fields are interned and cannot change afterwards, which lets the
memory tier work out an entry's cost again when it leaves, instead of keeping it.
"""

from __future__ import annotations

from cachemw.engine.model.entry import HeaderPairs

__all__ = ["intern_pairs", "is_shared_name", "own_pairs"]

Pair = tuple[bytes, bytes]

TABLE_CAP = 4096
"""Distinct pairs, and distinct names, that are kept for good."""
SEEN_CAP = 4096
LONGEST = 256
"""Bytes of name and value together; so the tables stay under about 4 MB."""

_pairs: dict[Pair, Pair] = {}
_names: dict[bytes, bytes] = {}
_seen_once: set[Pair] = set()


def intern_pairs(pairs: HeaderPairs) -> HeaderPairs:
    """Return equal pairs, in the same order, sharing what other entries already hold."""
    return tuple([_pairs.get(pair) or _admit(pair) for pair in pairs])


def own_pairs(pairs: HeaderPairs) -> list[Pair]:
    """Return the pairs that are not the table's very objects: those that cost their entry something."""
    return [pair for pair in pairs if _pairs.get(pair) is not pair]


def is_shared_name(name: bytes) -> bool:
    """Whether this very field name is the table's."""
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
