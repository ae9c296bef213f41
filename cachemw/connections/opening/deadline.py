"""One deadline for a whole reply of Redis, for clients in threads.

The timeout of redis-py is for each read of the socket, and one reply may need many reads. A server or
network that sends a byte every 20 ms would hold a request without limit (I3). Event loops do not need
this module: there the deadline is around the whole command.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

__all__ = ["reply_within_deadline"]


@cache
def reply_within_deadline() -> type[Any]:
    """Return the parser class for redis-py: one with a deadline if hiredis is installed."""
    from redis.connection import DefaultParser
    from redis.exceptions import TimeoutError as RedisTimeoutError

    # The parser without hiredis has no such method. Then the timeout is for each read only.
    if not hasattr(DefaultParser, "read_from_socket"):
        return DefaultParser

    class DeadlineParser(DefaultParser):  # type: ignore[misc, valid-type]
        """A parser whose later reads get only the time that is left for the reply."""

        _ends: float | None = None

        def read_response(self, *args: Any, **options: Any) -> Any:
            """Read one reply. Its deadline starts with the first read."""
            self._ends = None
            return super().read_response(*args, **options)

        def read_from_socket(self, *args: Any, **options: Any) -> bool:
            """Read a part of the reply. Raises the TimeoutError of redis-py after the deadline."""
            timeout = self._socket_timeout
            if self._ends is None or timeout is None:  # the first read; most replies need no other
                if timeout is not None:
                    self._ends = time.monotonic() + timeout
                return bool(super().read_from_socket(*args, **options))
            left = self._ends - time.monotonic()
            if left <= 0:  # also when data keeps coming: 100 MB would take 0.3 s
                raise RedisTimeoutError("the reply took too long")
            options["timeout"] = left
            return bool(super().read_from_socket(*args, **options))

    return DeadlineParser
