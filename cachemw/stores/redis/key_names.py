"""What things are called in Redis.

    cachemw:{shop:1f0e…}:e1       an entry, by the digest of its key
    cachemw:{shop:1f0e…}:lease    its lease
    cachemw:{shop}:log            the invalidation log, and what goes with it

The braces choose the slot in a Cluster: an entry and its lease share one, the log and its epoch
another, and entries spread over all nodes.
"""

from __future__ import annotations

from cachemw.engine.model.entry import Key

__all__ = ["name_of"]


def name_of(namespace: str, key: Key, what: str) -> bytes:
    """Name what is kept about one key."""
    return f"cachemw:{{{namespace}:{key.digest.hex()}}}:{what}".encode("ascii")
