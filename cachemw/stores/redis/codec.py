"""The envelope: the binary format of an entry in the shared store, and the checks on reading it.

Version 4, all numbers big-endian:

    offset  size  content
    0       3     magic, `CMW`
    3       1     version, 4
    4       1     flags: bit 0, the body is compressed with zstd
    5       16    four u32: lengths of full key, metadata, stored body, raw body
    21      8     position: epoch
    29      16    position: id, two u64: milliseconds, sequence
    45      16    BLAKE2b over everything before and after it, keyed with a secret's digest
    61            full key, metadata (msgpack), stored body

Theory of operation. Anybody who can write to Redis may have written the bytes that are read here. So
reading checks, in this order:

1. the lengths, before anything is hashed or allocated;
2. the checksum, before anything is parsed;
3. every value, even so: the secret of the checksum may be known to others.

The values that reading refuses are those that would do harm on the way to a client: a status that is
not final or not that of a whole response, headers of framing and of one connection, cookies, a
Content-Length that is not the body's, and bytes that end a header line. Writing refuses such headers too.

Then the full key in the envelope must be the key that was asked for, so that a value under a wrong name
is never served (I1, I2). Everything unexpected raises EntryRejected with one of the `REASONS`, and
nothing else is ever raised. Decompression is bounded. Pickle is not used.

**Secrets.** Writing signs with the first secret, and reading accepts all of them. So a secret can be
replaced while processes run: first let all processes accept the new one, then sign with it.

**Times.** The times of an entry are on the monotonic clock of its process, which means nothing to other
processes. They are stored as times of the Redis server's clock, which every process can ask for. The
clocks of the machines that run the processes play no part.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from hashlib import blake2b
from hmac import compare_digest
from math import isfinite

import msgspec
import zstandard

from cachemw.engine.model.entry import (
    HeaderPairs,
    Item,
    Key,
    Position,
)
from cachemw.errors import EntryRejected
from cachemw.http.storing import NEVER_STORED, UNSTORABLE_STATUSES
from cachemw.stores.redis.metadata import MARKER, MAX_LIFETIME, Meta, entry_of, marker_of, meta_of

__all__ = ["REASONS", "VERSION", "Codec"]

REASONS = frozenset(
    {
        *("short", "magic", "version", "size", "length", "checksum"),
        *("key", "meta", "status", "time", "expired", "header", "body"),
    }
)
"""All reasons of a rejection, in the order of the checks. They are stable: counters use them."""

MAGIC = b"CMW"
VERSION = 4
ZSTD = 1
HEADER = struct.Struct(">3sBBIIII8sQQ")
CHECKSUM = 16
START = HEADER.size + CHECKSUM
_Header = tuple[bytes, int, int, int, int, int, int, bytes, int, int]

MAX_KEY = 64 * 1024
"""Bytes. Servers refuse targets and headers far below this (8 KiB each in gunicorn)."""
MAX_META = 128 * 1024
"""Bytes. With the smallest possible headers and tags, so much is parsed in 5 ms."""
MAX_FUTURE = 5.0
"""Seconds that `born` may be in the future: a process learns the server's time over a network."""
LARGEST_RATIO = 0.9
"""Compression must save a tenth. For less, decompressing on every read is not worth it."""

_U64 = (1 << 64) - 1
# RFC 9110 §5.6.2, without upper case: names are lower-cased in the front door.
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_FORBIDDEN = bytes({*range(0x20), 0x7F} - {0x09})  # RFC 9110 §5.5: control characters but the tab
_REFUSED_NAMES = NEVER_STORED | {b"set-cookie", b"set-cookie2"}
_BODILESS = frozenset({204, 205})  # RFC 9110 §15.3.5, §15.3.6


class _Zstd(threading.local):
    """Compression contexts, one per thread: two threads must not share one."""

    def __init__(self, level: int) -> None:
        self.compress = zstandard.ZstdCompressor(level=level, write_checksum=False).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


class Codec:
    """The conversion of entries to bytes for the shared store, and back. Thread-safe."""

    def __init__(
        self, secrets: Sequence[bytes], *, threshold: int, level: int, max_body: int
    ) -> None:
        """Sign with the first secret and accept all. Compress bodies of `threshold` bytes or more.

        Bodies of more than `max_body` bytes are neither written nor accepted.
        """
        self._signing, *self._accepting = map(_hasher, secrets)
        self._threshold = threshold
        self._max_body = max_body
        self.largest = START + MAX_KEY + MAX_META + max_body
        """The size, in bytes, of the largest envelope that is accepted."""
        self._zstd = _Zstd(level)
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder(Meta).decode
        self._position: Position | None = None

    def encode(self, entry: Item, key: Key, *, now: float, server_now: float) -> bytes:
        """Return the envelope of `entry`, which is stored under `key`.

        `now` is the monotonic clock of this process, and `server_now` the Redis server's clock at
        the same moment, both in seconds. Lifetimes are cut to one year. Raises EntryRejected for a
        body, key, metadata ("size") or headers ("header") that `decode` would refuse.
        """
        meta = self._pack(meta_of(entry, server_now - now))
        raw = len(entry.body)
        full = key.full
        if raw > self._max_body or len(full) > MAX_KEY or len(meta) > MAX_META:
            raise EntryRejected("size")
        _check_headers(entry.headers, raw)
        flags, body = self._compress_body(entry)
        position = entry.position
        header = HEADER.pack(
            MAGIC,
            VERSION,
            flags,
            len(full),
            len(meta),
            len(body),
            raw,
            position.epoch,
            position.id >> 64,
            position.id & _U64,
        )
        content = b"".join((full, meta, body))
        return b"".join((header, _checksum(self._signing, header, content), content))

    def decode(self, blob: bytes, key: Key, *, now: float, server_now: float) -> Item:
        """Return the entry or Vary marker in `blob`, with its times on the clock of this process.

        `key` is the key that was asked for. Raises EntryRejected for everything unexpected.
        """
        header = self._verified(blob)
        if blob[START : START + header[3]] != key.full:
            raise EntryRejected("key")
        return self._read(blob, header, key, now=now, server_now=server_now)

    def open(
        self, blob: bytes, identify: Callable[[bytes], Key], *, now: float, server_now: float
    ) -> tuple[Key, Item]:
        """Return the entry in `blob` and its key, for a search through all stored entries.

        `identify` makes a key from the full key in the envelope. The caller must check that the blob
        was stored under that key. Raises EntryRejected for everything unexpected, as `decode` does.
        """
        header = self._verified(blob)
        key = identify(blob[START : START + header[3]])
        return key, self._read(blob, header, key, now=now, server_now=server_now)

    def _verified(self, blob: bytes) -> _Header:
        """Check the lengths and the checksum of an envelope, and return its header."""
        if len(blob) < START:
            raise EntryRejected("short")
        header: _Header = HEADER.unpack_from(blob)
        magic, version, flags, key_size, meta_size, stored, raw, *_ = header
        if magic != MAGIC:
            raise EntryRejected("magic")
        if version != VERSION or flags > ZSTD:
            raise EntryRejected("version")
        if raw > self._max_body or key_size > MAX_KEY or meta_size > MAX_META:
            raise EntryRejected("size")
        body_at = START + key_size + meta_size
        if len(blob) != body_at + stored or (stored >= raw if flags else stored != raw):
            raise EntryRejected("length")
        if not self._is_signed(blob):
            raise EntryRejected("checksum")
        return header

    def _read(
        self, blob: bytes, header: _Header, key: Key, *, now: float, server_now: float
    ) -> Item:
        """Check the values in a verified envelope, and return its entry or Vary marker."""
        _, _, flags, key_size, meta_size, _, raw, epoch, high, low = header
        body_at = START + key_size + meta_size
        meta = self._read_meta(blob[START + key_size : body_at])
        _check(meta, raw, server_now)
        body = self._decompress(blob[body_at:], raw) if flags else blob[body_at:]
        position = Position(epoch, high << 64 | low)
        if position == self._position:
            position = self._position  # entries made between two purges share one object
        else:
            self._position = position
        if meta.status == MARKER:
            return marker_of(meta, key.digest, position, now - server_now)
        return entry_of(meta, key.digest, body, position, now - server_now)

    def _is_signed(self, blob: bytes) -> bool:
        stated, header = blob[HEADER.size : START], blob[: HEADER.size]
        content = memoryview(blob)[START:]
        return compare_digest(_checksum(self._signing, header, content), stated) or any(
            compare_digest(_checksum(hasher, header, content), stated) for hasher in self._accepting
        )

    def _compress_body(self, entry: Item) -> tuple[int, bytes]:
        """Return the flags of the envelope, and the body in the form that is stored."""
        body = entry.body
        encoded = any(name == b"content-encoding" for name, _ in entry.headers)
        if len(body) >= self._threshold and not encoded:
            small = self._zstd.compress(body)
            if len(small) <= LARGEST_RATIO * len(body):
                return ZSTD, small
        return 0, body

    def _decompress(self, stored: bytes, raw: int) -> bytes:
        try:
            # Check the size in the frame first: zstd allocates that much, whatever the data is.
            if zstandard.frame_content_size(stored) == raw:
                return self._zstd.decompress(stored, allow_extra_data=False)
        except zstandard.ZstdError:
            pass
        raise EntryRejected("body")

    def _read_meta(self, packed: bytes) -> Meta:
        try:
            return self._unpack(packed)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise EntryRejected("meta") from None


def _hasher(secret: bytes) -> blake2b:
    key = blake2b(secret).digest()
    return blake2b(digest_size=CHECKSUM, key=key, person=b"cachemw envelope")


def _checksum(prepared: blake2b, header: bytes, content: bytes | memoryview) -> bytes:
    hasher = prepared.copy()
    hasher.update(header)
    hasher.update(content)
    return hasher.digest()


def _check(meta: Meta, raw: int, server_now: float) -> None:
    """Reject values that no correct writer stores. `raw` is the length of the body."""
    if not _may_have(meta.status, raw):
        raise EntryRejected("status")
    born, fresh_until, dies_at = meta.born, meta.fresh_until, meta.dies_at
    # A sum is finite only if every part of it is finite.
    if not isfinite(
        born + fresh_until + meta.stale_until + meta.stale_error_until + dies_at
    ) or not (
        born <= fresh_until <= born + MAX_LIFETIME
        and born <= server_now + MAX_FUTURE
        and max(fresh_until, meta.stale_until, meta.stale_error_until) <= dies_at
        and dies_at <= fresh_until + MAX_LIFETIME
    ):
        raise EntryRejected("time")
    if dies_at <= server_now:
        raise EntryRejected("expired")
    _check_headers(meta.headers, raw)
    if meta.holes:
        _check_holes(meta, raw)


def _check_holes(meta: Meta, raw: int) -> None:
    """Reject holes that are not in the order of the body, or outside of it."""
    at = 0
    for hole in meta.holes:
        if not at <= hole.at <= raw or meta.status == MARKER:
            raise EntryRejected("body")
        at = hole.at


def _may_have(status: int, raw: int) -> bool:
    """Tell whether a stored response or marker may have this status, with a body of this length."""
    if status == MARKER or status in _BODILESS:
        return not raw
    # RFC 9110 §15.2: 1xx is not a final response.
    return 200 <= status <= 599 and status not in UNSTORABLE_STATUSES


def _check_headers(headers: HeaderPairs, raw: int) -> None:
    if not headers:
        return
    names, values = zip(*headers, strict=True)
    joined = b"".join(values)
    if (
        not all(names)
        or b"".join(names).translate(None, _TOKEN)
        or len(joined.translate(None, _FORBIDDEN)) != len(joined)
        or not _REFUSED_NAMES.isdisjoint(names)
        or (b"content-length" in names and not _states_once(headers, b"%d" % raw))
    ):
        raise EntryRejected("header")


def _states_once(headers: HeaderPairs, length: bytes) -> bool:
    """Tell whether there is this Content-Length alone. With a wrong one, a server aborts the response."""
    return [value for name, value in headers if name == b"content-length"] == [length]
