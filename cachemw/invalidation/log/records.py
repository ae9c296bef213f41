"""The records of the invalidation log, as fields of a Redis stream entry, and its numbers.

A record has a kind `k` (`tags`, `all` or `flags`), `s` = 1 when it purges softly, and a value `v` in
JSON: the list of tags, or the live flags. A kind that this release does not know counts as a purge
of everything: a newer release meant something by it, and losing entries is the safe reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cachemw.invalidation.purges import Purge

__all__ = [
    "FlagsRecord",
    "appended_at",
    "flag_fields",
    "number",
    "purge_fields",
    "read_record",
    "stream_id",
]

_SEQUENCE_BITS = 64
_LOCAL_BITS = 16  # see Floors.apply_locally


@dataclass(frozen=True, slots=True)
class FlagsRecord:
    """A change of the live flags; `document` is their whole state in JSON."""

    document: bytes


def number(stream_id: bytes | str) -> int:
    """Give a stream ID (`milliseconds-sequence`) as one integer that orders as the log does."""
    text = stream_id.decode("ascii") if isinstance(stream_id, bytes) else stream_id
    milliseconds, _, sequence = text.partition("-")
    return (int(milliseconds) << _SEQUENCE_BITS) | (int(sequence or 0) << _LOCAL_BITS)


def appended_at(record: int) -> float:
    """Give the server's time, in seconds, at which a record was appended."""
    return (record >> _SEQUENCE_BITS) / 1000


def stream_id(record: int) -> str:
    """Give the stream ID of a number; local purges after the record fall away."""
    milliseconds = record >> _SEQUENCE_BITS
    sequence = (record & ((1 << _SEQUENCE_BITS) - 1)) >> _LOCAL_BITS
    return f"{milliseconds}-{sequence}"


def purge_fields(purge: Purge) -> list[bytes]:
    """Write a purge as field names and values."""
    soft = b"1" if purge.soft else b"0"
    if purge.tags is None:
        return [b"k", b"all", b"s", soft]
    return [b"k", b"tags", b"s", soft, b"v", msgspec.json.encode(purge.tags)]


def flag_fields(document: bytes) -> list[bytes]:
    """Write a change of the live flags as field names and values."""
    return [b"k", b"flags", b"v", document]


def read_record(fields: Mapping[bytes, bytes] | Any) -> Purge | FlagsRecord:
    """Read a record; what cannot be read purges everything."""
    try:
        kind = fields[b"k"]
        soft = fields.get(b"s") == b"1"
        if kind == b"tags":
            tags = msgspec.json.decode(fields[b"v"], type=tuple[str, ...])
            return Purge(tags=tags, soft=soft)
        if kind == b"flags":
            return FlagsRecord(fields[b"v"])
        return Purge(tags=None, soft=soft and kind == b"all")
    except (KeyError, AttributeError, TypeError, msgspec.MsgspecError):
        return Purge(tags=None)
