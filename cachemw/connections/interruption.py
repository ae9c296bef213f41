"""Ending a read that waits in another thread."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

__all__ = ["interrupt"]


def interrupt(client: redis.Redis) -> None:
    """Make every read of a client fail now, whichever thread waits in it. Takes no lock.

    The sockets are shut down, and closed by the thread that reads. redis-py's `disconnect` closes them at
    once: then another thread may open a connection with the same file number before the kernel has woken
    the reader, which goes on to wait for that one. A forked child leaves its parent's sockets alone.
    """
    for connection in tuple(client.connection_pool._connections):  # type: ignore[attr-defined]
        if connection.pid == os.getpid() and (opened := connection._sock) is not None:
            with suppress(OSError):  # closed already
                opened.shutdown(socket.SHUT_RDWR)
