"""The names of Redis keys.

    cachemw:{shop:1f0e…}:e1       an entry, by the digest of its key
    cachemw:{shop:1f0e…}:lease    the lease of that entry
    cachemw:{shop}:log            the invalidation log; other keys of the namespace are alike

In a Cluster, the text in braces decides the slot. So an entry and its lease share a slot, the log and
all that is written together with it share another, and entries are spread over all nodes.
"""

from __future__ import annotations

from cachemw.engine.model.entry import Key

__all__ = ["name_of"]


def name_of(namespace: str, key: Key, what: str) -> bytes:
    """Return the Redis key of something that belongs to one cache key."""
    return f"cachemw:{{{namespace}:{key.digest.hex()}}}:{what}".encode("ascii")
