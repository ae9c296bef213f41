"""The addresses of a host name, looked up in the background and kept.

A look-up takes as long as the name server wants: 5 s for each attempt if it is silent. So no request
makes one, nor an event loop's executor. The last addresses that were found are used until a look-up
finds others. A new one starts when they are old, and when connecting has failed.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from cachemw.connections.opening.shared_call import SharedCall
from cachemw.errors import ConnectError

__all__ = ["Addresses", "Place"]

Place = tuple[int, tuple[str, int]]
"""Family and address of a socket. IPv6 addresses have two numbers more."""

_OLD = 5.0
"""Seconds after which addresses are looked up again before the next connection is opened."""
_LONGEST_LOOK = 0.1
"""Seconds for which an opening waits for new addresses where old ones are known."""
_NOT_IN_TIME = "cannot be reached: its host name was not found in time"


class Addresses:
    """The addresses of one server. Thread-safe."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._literal = _literal(host, port)
        self._known: list[Place] = []
        self._looked_at = 0.0
        self._call = SharedCall(self._look_up)

    def reset_after_fork(self) -> None:
        """Keep the addresses, and forget a look-up of the parent process."""
        self._call.reset_after_fork()

    def expire(self) -> None:
        """Look up again before the next connection is opened: one has failed."""
        self._looked_at = 0.0

    def get(self, timeout: float) -> list[Place]:
        """Return the addresses; wait at most `timeout` seconds.

        If none are known, raises the OSError of the look-up, or ConnectError when the time is over.
        """
        if self._literal:
            return self._literal
        if self._known:
            if (wait := self._wait_for_new()) is not None:
                with suppress(OSError, TimeoutError):
                    self._call.result(wait)
            return self._known
        try:
            return self._call.result(timeout)
        except TimeoutError as error:
            raise ConnectError(_NOT_IN_TIME) from error

    async def aget(self, timeout: float) -> list[Place]:
        """Return the addresses as `get` does, without blocking the event loop."""
        if self._literal:
            return self._literal
        if self._known:
            if (wait := self._wait_for_new()) is not None:
                with suppress(OSError, TimeoutError):
                    await self._call.aresult(wait)
            return self._known
        try:
            return await self._call.aresult(timeout)
        except TimeoutError as error:
            raise ConnectError(_NOT_IN_TIME) from error

    def _wait_for_new(self) -> float | None:
        """Return the seconds to wait for new addresses. None: the known ones are new."""
        now = time.monotonic()
        if now - self._looked_at < _OLD:
            return None
        self._call.start()
        return max(0.0, self._call.started_at + _LONGEST_LOOK - now)

    def _look_up(self) -> list[Place]:
        began = time.monotonic()
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        places: list[Place] = [(family, address) for family, *_, address in found]  # type: ignore[misc]
        if not places:
            raise OSError("the host name has no address")
        self._known, self._looked_at = places, began
        return places


def _literal(host: str, port: int) -> list[Place]:
    """Return the address that a host is already, or nothing for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    return []
