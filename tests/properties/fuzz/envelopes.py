"""What may lie in the shared store: nothing but a refusal, or an entry that writes as it read."""

from __future__ import annotations

import struct
from hashlib import blake2b

from cachemw.engine.model.entry import Item, Key, VaryMarker
from cachemw.errors import EntryRejected
from cachemw.stores.redis.codec import HEADER, REASONS, START, VERSION, Codec

__all__ = ["fuzz_envelope", "fuzz_sealed"]

SECRET = b"a secret of the namespace"
KEY = Key(b"0123456789abcdef", b"/p")
NOW = 1_700_000_000.0
"""On both clocks, so that no time is rounded on its way."""
_CODEC = Codec([SECRET], threshold=64, level=1, max_body=1 << 20)
_SIZES = struct.Struct(">BHI")


def fuzz_envelope(data: bytes) -> None:
    """An envelope: as it is, and with the checksum that it should have."""
    _decode(data)
    if len(data) >= START:
        header, content = data[: HEADER.size], data[START:]
        _decode(header + _checksum(header + content) + content)


def fuzz_sealed(data: bytes) -> None:
    """Flags, the metadata's length, the raw body's length, and metadata and stored body.

    Where there are no flags the lengths are those that are right, so that every input gets past
    them to what is behind.
    """
    if len(data) < _SIZES.size:
        return
    flags, meta_size, raw = _SIZES.unpack_from(data)
    rest = data[_SIZES.size :]
    stored = len(rest) - min(meta_size, len(rest))
    sizes = (len(KEY.full), len(rest) - stored, stored, raw if flags else stored)
    header = HEADER.pack(b"CMW", VERSION, flags, *sizes, b"epoch-01", 1, 2)
    content = KEY.full + rest
    _decode(header + _checksum(header + content) + content)


def _checksum(content: bytes) -> bytes:
    key = blake2b(SECRET).digest()
    return blake2b(content, digest_size=16, key=key, person=b"cachemw envelope").digest()


def _decode(blob: bytes) -> None:
    try:
        entry = _CODEC.decode(blob, KEY, now=NOW, server_now=NOW)
    except EntryRejected as rejected:
        _is_listed(rejected.reason)
    else:
        _is_sound(entry)
    try:  # for who does not know the key
        key, opened = _CODEC.open(blob, _identify, now=NOW, server_now=NOW)
    except EntryRejected as rejected:
        _is_listed(rejected.reason)
    else:
        assert key.full in blob
        assert key != KEY or _facts(opened) == _facts(entry)


def _identify(full: bytes) -> Key:
    return KEY if full == KEY.full else Key(b"", full)


def _is_listed(reason: str) -> None:
    assert reason in REASONS


def _is_sound(entry: Item) -> None:
    assert entry.born <= entry.fresh_until <= entry.dies_at
    assert NOW < entry.dies_at < float("inf")
    assert isinstance(entry, VaryMarker) or 200 <= entry.status <= 599
    learned = None if isinstance(entry, VaryMarker) else entry.learned
    assert learned is None or 0 < learned.changes < float("inf") > learned.seconds > 0
    assert learned is None or 0 < learned.asked < float("inf") > learned.waited > 0
    for name, value in entry.headers:
        assert name == name.lower() != b""
        assert not ({*range(0x20), 0x7F} - {0x09}) & {*name, *value}
        assert name != b"content-length" or value == b"%d" % len(entry.body)
        assert name not in (b"set-cookie", b"transfer-encoding", b"connection", b"trailer")
    again = _CODEC.encode(entry, KEY, now=NOW, server_now=NOW)
    assert _facts(_CODEC.decode(again, KEY, now=NOW, server_now=NOW)) == _facts(entry)


def _facts(entry: Item) -> list[object]:
    return [getattr(entry, name) for name in entry.__struct_fields__]
