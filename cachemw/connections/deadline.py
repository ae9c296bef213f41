"""Reading a whole reply of Redis within one deadline, in threads.

redis-py's timeout is for each read of the socket, and a reply that trickles in is many: a server, or
a network, that sends a byte every 20 ms would keep a request for as long as it likes (I3). An event
loop needs none of this: there the deadline is put around the whole command.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

__all__ = ["reply_within_deadline"]


@cache
def reply_within_deadline() -> type[Any]:
    """Make the parser that redis-py is to use; its own where that is not the one over hiredis."""
    from redis.connection import DefaultParser
    from redis.exceptions import TimeoutError as RedisTimeoutError

    if not hasattr(
        DefaultParser, "read_from_socket"
    ):  # without hiredis: bounded for each read alone
        return DefaultParser

    class DeadlineParser(DefaultParser):  # type: ignore[misc, valid-type]
        """Gives every read after the first one only what is left of the reply's deadline."""

        _ends: float | None = None

        def read_response(self, *args: Any, **options: Any) -> Any:
            """Read one reply."""
            self._ends = None
            return super().read_response(*args, **options)

        def read_from_socket(self, *args: Any, **options: Any) -> bool:
            """Read a piece of it; raises redis-py's TimeoutError when time is up."""
            timeout = self._socket_timeout
            if self._ends is None or timeout is None:  # nearly every reply comes in one piece
                if timeout is not None:
                    self._ends = time.monotonic() + timeout
                return bool(super().read_from_socket(*args, **options))
            left = self._ends - time.monotonic()
            if left <= 0:  # however fast the pieces come: 100 MB of them would take 0.3 s
                raise RedisTimeoutError("the reply took too long")
            options["timeout"] = left
            return bool(super().read_from_socket(*args, **options))

    return DeadlineParser
