"""Keys: an injective encoding of everything that may change a response.

How a key is made:

- The parts of a key are encoded as one byte string, the *full key*. It begins with the lengths of all
  parts, so two different sequences of parts never give the same bytes (the flaw behind CVE-2026-25480
  was a plain join). An absent value is different from an empty one.
- The *digest* is a keyed BLAKE2b of the full key. Both tiers are indexed by it. It is keyed, so a
  client cannot search for two requests that share a digest.
- Entries in Redis carry their full key, and it is compared on every read (I1). Memory compares digests
  only; see `_DIGEST`.
- Cookies, tokens and identities enter as keyed digests (`conceal`), because the full key is stored.

Keys are nested: the key of an extended plan holds the key of its target as its first part, and the key of
a variant holds the key of its plan.
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
"""Bytes of a digest. The memory tier compares nothing else, so even somebody who knows the secret must not
find two requests with one digest: with 16 bytes that takes 2^64 tries, with 24 bytes 2^96. The larger one
takes no more memory, since objects are padded."""


def encode_parts(parts: Iterable[bytes | None]) -> bytes:
    """Encode parts injectively: their number, the length of each (-1 for None), their bytes."""
    parts = list(parts)
    lengths = [_ABSENT if part is None else len(part) for part in parts]
    return b"".join([_pack(f">{len(parts) + 1}i", len(parts), *lengths), *filter(None, parts)])


def decode_parts(data: bytes) -> list[bytes | None]:
    """Return the parts that `encode_parts` encoded. Raise ValueError for anything else."""
    count = int.from_bytes(data[:4], "big")
    at = 4 + 4 * count
    if len(data) < at:
        raise ValueError("not an encoding of parts: it ends within the lengths")
    parts: list[bytes | None] = []
    for length in unpack_from(f">{count}i", data, 4):
        if length < _ABSENT:
            raise ValueError("not an encoding of parts: a length is negative")
        parts.append(None if length == _ABSENT else data[at : at + length])
        at += max(0, length)
    if at != len(data):
        raise ValueError("not an encoding of parts: the lengths do not add up")
    return parts


class KeyMaker:
    """The keys of one namespace.

    `secret` is not the secret that signs entries. That one may be exchanged while processes run, and
    stored entries must be found under the same keys afterwards.
    """

    def __init__(self, namespace: str, secret: bytes) -> None:
        self._namespace = namespace.encode("ascii")
        key = blake2b(secret, digest_size=32, person=b"cachemw-key").digest()
        # These are copied for each digest: so the secret is hashed once, and not every time.
        self._short = blake2b(digest_size=_DIGEST, key=key)
        self._long = blake2b(digest_size=32, key=key)

    def make(self, parts: Iterable[bytes | None]) -> Key:
        """Return the key of these parts."""
        return self.of(encode_parts((self._namespace, *parts)))

    def extend(self, key: Key, parts: Iterable[bytes | None]) -> Key:
        """Return the key of a part of what another key stands for: an extended plan, or a variant."""
        return self.of(encode_parts((key.full, *parts)))

    def of(self, full: bytes) -> Key:
        """Return the key with this full encoding."""
        return Key(_digest(self._short, full), full)

    def conceal(self, value: bytes) -> bytes:
        """Return a keyed digest that replaces a secret value in a key (I1)."""
        return _digest(self._long, value)


def _digest(prepared: blake2b, data: bytes) -> bytes:
    hasher = prepared.copy()
    hasher.update(data)
    return hasher.digest()
