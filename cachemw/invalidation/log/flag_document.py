"""The live flags in Redis: one document for processes that join, changed together with the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachemw.connections.nodes import Nodes
from cachemw.engine.model.outcomes import EventName
from cachemw.invalidation.log.records import flag_fields
from cachemw.invalidation.log.stream import Stream

__all__ = ["FlagStore"]

_ATTEMPTS = 10
"""Attempts to change what others change too; each failed one is another's success."""


class FlagStore:
    """The document of one namespace."""

    def __init__(
        self,
        namespace: str,
        stream: Stream,
        nodes: Nodes,
        count: Callable[[EventName, str], None],
    ) -> None:
        self._key = f"cachemw:{{{namespace}}}:flags".encode()
        self._stream = stream
        self._nodes = nodes
        self._count = count

    def exchange(self, change: Callable[[bytes | None], bytes]) -> bytes | None:
        """Change the live flags and tell every process, in one step; give what was written.

        `change` gives the next document for the present one (None: there is none yet).
        None when Redis could not be told. When somebody else writes in between, the change is
        made again from what they wrote.
        """
        from redis.exceptions import WatchError

        for _ in range(_ATTEMPTS):
            try:
                with self._nodes.found(self._key).sync().pipeline() as pipeline:
                    pipeline.watch(self._key)
                    (current,) = pipeline.mget(self._key)
                    document = change(current)
                    pipeline.multi()
                    pipeline.set(self._key, document)
                    pipeline.execute_command(*self._stream.append(flag_fields(document)))
                    pipeline.execute()
                    return document
            except WatchError:
                continue
            except Exception:
                self._count("store_error", "flags")
                return None
        return None

    def read(self) -> bytes | None:
        """Read the live flags as Redis has them; raises what redis-py raises."""
        found = self._nodes.found(self._key).sync().get(self._key)
        return found if isinstance(found, bytes) else None

    def restore(self, client: Any, newest: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Give the document; give a Redis that has lost it, or its last change, the newest known."""
        (document,) = client.mget(self._key)  # None for a value of another type
        wanted = newest(document)
        if wanted is None or wanted == document:
            return document if isinstance(document, bytes) else None
        return self.exchange(lambda current: newest(current) or wanted)
