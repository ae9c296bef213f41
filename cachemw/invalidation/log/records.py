"""The records of the invalidation log and their encoding.

A record is an entry of a Redis stream with these fields: the kind `k` (`tags`, `all` or `flags`), `s` =
1 for a soft purge, and a value `v` in JSON, which is the list of tags or the live flags. A kind that
this release does not know counts as a purge of everything. A newer release has written it, and
purging too much is the safe reading.

A stream ID (`milliseconds-sequence`) is used as one integer, the record's *number*: the milliseconds,
48 bits for the sequence, and 16 bits that count local purges (`Floors.apply_locally`).
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
    """A change of the live flags. `document` is their complete new state in JSON."""

    document: bytes


def number(stream_id: bytes | str) -> int:
    """Return a stream ID as one integer. The integers have the order of the log."""
    text = stream_id.decode("ascii") if isinstance(stream_id, bytes) else stream_id
    milliseconds, _, sequence = text.partition("-")
    return (int(milliseconds) << _SEQUENCE_BITS) | (int(sequence or 0) << _LOCAL_BITS)


def appended_at(record: int) -> float:
    """Return the server's time, in seconds, when a record was appended."""
    return (record >> _SEQUENCE_BITS) / 1000


def stream_id(record: int) -> str:
    """Return the stream ID of a number, without the count of local purges."""
    milliseconds = record >> _SEQUENCE_BITS
    sequence = (record & ((1 << _SEQUENCE_BITS) - 1)) >> _LOCAL_BITS
    return f"{milliseconds}-{sequence}"


def purge_fields(purge: Purge) -> list[bytes]:
    """Return a purge as names and values of a stream entry."""
    soft = b"1" if purge.soft else b"0"
    if purge.tags is None:
        return [b"k", b"all", b"s", soft]
    return [b"k", b"tags", b"s", soft, b"v", msgspec.json.encode(purge.tags)]


def flag_fields(document: bytes) -> list[bytes]:
    """Return a change of the live flags as names and values of a stream entry."""
    return [b"k", b"flags", b"v", document]


def read_record(fields: Mapping[bytes, bytes] | Any) -> Purge | FlagsRecord:
    """Return the record of a stream entry. One that cannot be read is a purge of everything."""
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
