"""Keys: an injective encoding of everything that may change an answer.

The encoding of a sequence of parts begins with all their lengths, so no two different sequences give
the same bytes (the flaw behind CVE-2026-25480 was a plain join). An absent value is encoded apart from
an empty one. Cookies, tokens and identities enter as keyed digests: the full key travels inside
stored entries, and must not carry a secret in clear.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import pack as _pack
from struct import unpack_from

from cachemw.engine.model.entry import Key

__all__ = ["KeyMaker", "decode_parts", "encode_parts"]

_ABSENT = -1
_DIGEST = 24
"""Bytes: memory compares no more of a key, and who knows what digests are keyed with must not find two
requests that share one; at 16 bytes that takes 2^64 tries. It weighs no more: objects are padded."""


def encode_parts(parts: Iterable[bytes | None]) -> bytes:
    """Encode parts injectively: their number, the length of each (None has one of its own), their bytes."""
    parts = list(parts)
    lengths = [_ABSENT if part is None else len(part) for part in parts]
    return b"".join([_pack(f">{len(parts) + 1}i", len(parts), *lengths), *filter(None, parts)])


def decode_parts(data: bytes) -> list[bytes | None]:
    """Undo `encode_parts`; raises ValueError for what it did not make."""
    count = int.from_bytes(data[:4], "big")
    at = 4 + 4 * count
    if len(data) < at:
        raise ValueError("no encoding of parts: it ends within the lengths")
    parts: list[bytes | None] = []
    for length in unpack_from(f">{count}i", data, 4):
        if length < _ABSENT:
            raise ValueError("no encoding of parts: a length is negative")
        parts.append(None if length == _ABSENT else data[at : at + length])
        at += max(0, length)
    if at != len(data):
        raise ValueError("no encoding of parts: the lengths do not add up")
    return parts


class KeyMaker:
    """Makes the keys of one namespace.

    `secret` is not the one that signs entries: that one may be exchanged while processes run, and
    what was stored before must be found by the same keys after that.
    """

    def __init__(self, namespace: str, secret: bytes) -> None:
        self._namespace = namespace.encode("ascii")
        key = blake2b(secret, digest_size=32, person=b"cachemw-key").digest()
        # Copied for each use: the key itself is then hashed once and not every time.
        self._short = blake2b(digest_size=_DIGEST, key=key)
        self._long = blake2b(digest_size=32, key=key)

    def make(self, parts: Iterable[bytes | None]) -> Key:
        """Make the key of these parts."""
        return self.of(encode_parts((self._namespace, *parts)))

    def extend(self, key: Key, parts: Iterable[bytes | None]) -> Key:
        """Make the key of what differs under a key: for other fields of the request, or a variant."""
        return self.of(encode_parts((key.full, *parts)))

    def of(self, full: bytes) -> Key:
        """Make the key whose full encoding is known."""
        return Key(_digest(self._short, full), full)

    def conceal(self, value: bytes) -> bytes:
        """Give a keyed digest that stands for a secret value in a key."""
        return _digest(self._long, value)


def _digest(prepared: blake2b, data: bytes) -> bytes:
    hasher = prepared.copy()
    hasher.update(data)
    return hasher.digest()
