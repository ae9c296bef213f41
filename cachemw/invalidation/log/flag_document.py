"""The live flags in Redis: one document, which is changed together with the log.

Processes that follow the log get each change from it. Those that join read the document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachemw.connections.nodes import Nodes
from cachemw.connections.versions import refuse_old_server
from cachemw.invalidation.log.hooks import LogHooks
from cachemw.invalidation.log.records import appended_at, flag_fields
from cachemw.invalidation.log.stream import Stream, first_record

__all__ = ["FlagDocument"]

_ATTEMPTS = 10
"""Attempts to change the flags. Each one that fails is the success of another process."""
_TELL_TIME = 1.5
"""Seconds in which processes come back to a Redis that was away. They try again after 0.6 s at most."""


class FlagDocument:
    """The document with the live flags of one namespace."""

    def __init__(
        self,
        namespace: str,
        stream: Stream,
        nodes: Nodes,
        hooks: LogHooks,
    ) -> None:
        self._key = f"cachemw:{{{namespace}}}:flags".encode()
        self._stream = stream
        self._nodes = nodes
        self._hooks = hooks

    def exchange(self, change: Callable[[bytes | None], bytes]) -> bytes | None:
        """Change the live flags and append them to the log, in one transaction.

        `change` returns the next document for the present one, or for None if there is none. If
        another process writes in between, `change` is called again with its document. Return the
        document that was written. None: Redis was not reached, or others kept changing it.
        """
        from redis.exceptions import WatchError

        for _ in range(_ATTEMPTS):
            try:
                client = self._nodes.find(self._key).sync()
                refuse_old_server(client)  # it would set the document, and not append it to the log
                with client.pipeline() as pipeline:
                    pipeline.watch(self._key)
                    (current,) = pipeline.mget(self._key)
                    document = change(current)
                    pipeline.multi()
                    pipeline.set(self._key, document)
                    pipeline.execute_command(*self._stream.append_command(flag_fields(document)))
                    pipeline.execute()
                    return document
            except WatchError:
                continue
            except Exception as error:
                self._hooks.count("store_error", "flags")
                self._hooks.failed(error, "")
                return None
        return None

    def read(self) -> bytes | None:
        """Return the live flags in Redis. Raises the errors of redis-py, and StoreUnavailable."""
        client = self._nodes.find(self._key).sync()
        refuse_old_server(client)
        found = client.get(self._key)
        return found if isinstance(found, bytes) else None

    def current(self, client: Any) -> bytes | None:
        """Return the live flags in Redis, over the connection of the caller."""
        (document,) = client.mget(self._key)  # MGET: None for a value of another type
        return document if isinstance(document, bytes) else None

    def answer(
        self, client: Any, answered: Callable[[bytes | None], None], *, was_away: bool
    ) -> None:
        """Pass on the live flags in Redis, or that it has none. Until then the process lets nothing in.

        A Redis that this process has found away (`was_away`) may have lost its data. Then "none" counts
        only when the log is older than `_TELL_TIME`: by then, who knows the flags has told them (I6).
        """
        document = self.current(client)
        if document is not None or not was_away or not self._is_new(client):
            answered(document)

    def _is_new(self, client: Any) -> bool:
        """Tell whether the log's life began so short a time ago that others may not be back yet."""
        from redis.exceptions import ResponseError

        try:
            first = first_record(client.execute_command(*self._stream.first_command()))
        except ResponseError:  # no stream: joining is about to begin a new one
            return True
        seconds, micros = client.time()
        return first is None or seconds + micros / 1e6 <= appended_at(first[0]) + _TELL_TIME

    def restore(self, client: Any, newest: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Return the document, after writing the newest known one if Redis has lost that."""
        document = self.current(client)
        wanted = newest(document)
        if wanted is None or wanted == document:
            return document
        return self.exchange(lambda current: newest(current) or wanted)
