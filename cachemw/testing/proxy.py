"""A TCP proxy that makes the network to a Redis server bad.

Each call changes how the proxy behaves, at once, for open and new connections, and replaces the
call before it. The server itself is not changed, so clients that do not use the proxy notice
nothing.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from cachemw.config.syntax.units import duration
from cachemw.testing.relay import Behavior, CurrentBehavior, Link

__all__ = ["ChaosProxy"]

HOST = "127.0.0.1"
CONNECT_SECONDS = 5.0
"""How long connecting to the server may take; a server nearby needs far less."""


class ChaosProxy:
    """A proxy for the Redis server at `url`, on a port that the kernel chooses.

    It works as soon as it is made. As a context manager, it closes at the end of the block.
    Thread-safe. Times are seconds, or texts such as "20ms". Raises ValueError for a URL that does
    not begin with `redis://` or `rediss://`.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self.lead_to(url)
        self._behavior = CurrentBehavior()
        self._links: set[Link] = set()
        self._lock = threading.Lock()
        self._switching = threading.RLock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._port = 0
        self._listen()

    @property
    def url(self) -> str:
        """The URL for clients: the server's URL with the proxy's address in it."""
        credentials, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{credentials}{at}{HOST}:{self._port}"))

    @property
    def port(self) -> int:
        """The proxy's TCP port; it stays the same after `refuse`."""
        return self._port

    @property
    def connections(self) -> int:
        """The number of open connections through the proxy."""
        with self._lock:
            return len(self._links)

    def lead_to(self, url: str) -> None:
        """Lead new connections to another server, as its host name does after a failover.

        The connections that are open stay where they are. Raises ValueError as the constructor does.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss"):
            raise ValueError(f"url: expected a URL such as redis://127.0.0.1:6379/0, got {url!r}")
        self._target = (parts.hostname or "localhost", parts.port or 6379)

    def forget(self, idle: str | float = 0.0) -> None:
        """Lose what is sent over the connections that were idle for so long until now; new ones work.

        No error tells of it, as with a firewall that forgets connections without traffic.
        """
        for link in self._open_links():
            link.forget(duration(idle))

    def normal(self) -> None:
        """Pass everything on at once, also what was held back until now.

        Raises OSError after `refuse` if another program has taken the port since.
        """
        self._change(Behavior())

    def slow(self, delay: str | float) -> None:
        """Delay every chunk of a reply by this time."""
        self._change(Behavior(delay=duration(delay)))

    def slice(self, size: int = 1, pause: str | float = 0.0) -> None:
        """Pass replies on in pieces of `size` bytes, with a pause after each piece but the last."""
        if size < 1:
            raise ValueError(f"size: expected at least 1 byte, got {size}")
        self._change(Behavior(piece=size, pause=duration(pause)))

    def cut(self) -> None:
        """Close every open connection, even in the middle of a reply; new ones work as before."""
        self._cut(self._open_links())

    def cut_after(self, size: int) -> None:
        """Close each connection after `size` more bytes of replies."""
        if size < 0:
            raise ValueError(f"size: expected 0 bytes or more, got {size}")
        self._change(Behavior(cut_after=size))

    def half_close(self) -> None:
        """Close the replies' direction of each connection, and go on reading what clients send.

        A connection that is open now stays like that until it is closed.
        """
        self._change(Behavior(ended=True))
        for link in self._open_links():
            link.end_replies()

    def swallow(self) -> None:
        """Accept connections and requests, but pass nothing on, like a server that hangs."""
        self._change(Behavior(held=True))

    def refuse(self) -> None:
        """Close every connection and refuse new ones, like a server that is down."""
        with self._switching:
            listener, self._listener = self._listener, None
            if listener is not None:
                # A thread blocked in accept() keeps the port open; shutting the socket down wakes it.
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            if self._acceptor is not None:
                self._acceptor.join()
            self.cut()

    def close(self) -> None:
        """Stop the proxy and close every connection."""
        self.refuse()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ChaosProxy {HOST}:{self._port} to {self._target[0]}:{self._target[1]}>"

    def _change(self, behavior: Behavior) -> None:
        with self._switching:
            self._behavior.change(behavior)
            if self._listener is None:
                self._listen()

    def _listen(self) -> None:
        self._listener = socket.create_server((HOST, self._port))
        self._port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), name="chaos-proxy", daemon=True
        )
        self._acceptor.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, CONNECT_SECONDS)
            except OSError:  # the server is down, so this client sees the proxy down
                near.close()
            else:
                far.settimeout(None)
                self._add(Link(near, far, self._behavior, self._forget))

    def _add(self, link: Link) -> None:
        with self._lock:
            self._links.add(link)
            link.start()  # under the lock: a link in the set must have threads to join
        # Checked after the link is in the set: either half_close() saw the link there, or we see
        # half_close() here.
        if self._behavior.now.ended:
            link.end_replies()

    def _forget(self, link: Link) -> None:
        with self._lock:
            self._links.discard(link)

    def _open_links(self) -> list[Link]:
        with self._lock:
            return list(self._links)

    @staticmethod
    def _cut(links: list[Link]) -> None:
        for link in links:
            link.cut()
        for link in links:
            link.join()
