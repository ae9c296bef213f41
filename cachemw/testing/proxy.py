"""A TCP proxy in front of a Redis server, for what the server cannot do to itself: a bad network.

What it is told holds at once, for the connections that are open and for those to come, until it is
told otherwise; each call replaces the one before. The server is left whole, so other clients see
nothing of it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from cachemw.config.syntax.units import duration
from cachemw.testing.relay import Link, Manner, Rules

__all__ = ["ChaosProxy"]

HOST = "127.0.0.1"
CONNECT_SECONDS = 5.0
"""A server on this machine, or near it, is reached in far less."""


class ChaosProxy:
    """Relay to the Redis server at `url`, `redis://…`, from a port that the kernel chose.

    A context manager: it relays from when it is made, and leaving closes it. Thread-safe. Times are
    seconds, or texts such as "20ms". Raises ValueError for a URL that is not one of a TCP server.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        if self._parts.scheme != "redis":
            raise ValueError(f"expected a URL such as redis://127.0.0.1:6379/0, got {url!r}")
        self._target = (self._parts.hostname or "localhost", self._parts.port or 6379)
        self._rules = Rules()
        self._links: set[Link] = set()
        self._lock = threading.Lock()
        self._switching = threading.RLock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._port = 0
        self._listen()

    @property
    def url(self) -> str:
        """Where clients connect: the server's URL with the proxy's address in it."""
        credentials, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{credentials}{at}{HOST}:{self._port}"))

    @property
    def port(self) -> int:
        """The TCP port, the same also after it was refused."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections are open through it."""
        with self._lock:
            return len(self._links)

    def normal(self) -> None:
        """Relay everything as it comes; what was held is passed on now.

        Raises OSError when it refused and somebody else has taken the port meanwhile.
        """
        self._behave(Manner())

    def slow(self, delay: str | float) -> None:
        """Hold back every chunk of a reply for so long."""
        self._behave(Manner(delay=duration(delay)))

    def slice(self, size: int = 1, pause: str | float = 0.0) -> None:
        """Pass replies on in pieces of `size` bytes, with a pause after each but the last."""
        if size < 1:
            raise ValueError(f"a piece has at least 1 byte, got {size}")
        self._behave(Manner(piece=size, pause=duration(pause)))

    def cut(self) -> None:
        """Cut every open connection, in mid-reply as it may be; new ones are made as before."""
        self._cut(self._open_links())

    def cut_after(self, size: int) -> None:
        """Cut each connection when `size` bytes of replies have come through it from now on."""
        if size < 0:
            raise ValueError(f"bytes are counted from 0, got {size}")
        self._behave(Manner(cut_after=size))

    def half_close(self) -> None:
        """Tell clients that no more will come, and go on reading what they send.

        It holds for a connection that is open now as long as that lives.
        """
        self._behave(Manner(ended=True))
        for link in self._open_links():
            link.end_replies()

    def swallow(self) -> None:
        """Accept connections and requests, and pass on nothing either way: a server that hangs."""
        self._behave(Manner(held=True))

    def refuse(self) -> None:
        """Cut every connection and refuse new ones: a server that is down. Same port afterwards."""
        with self._switching:
            listener, self._listener = self._listener, None
            if listener is not None:
                # A thread blocked in accept() keeps the port; shutting the socket down wakes it.
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            if self._acceptor is not None:
                self._acceptor.join()
            self.cut()

    def close(self) -> None:
        """Stop relaying and close everything."""
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

    def _behave(self, manner: Manner) -> None:
        with self._switching:
            self._rules.change(manner)
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
            except OSError:  # the server is down: so are we, for this client
                near.close()
            else:
                far.settimeout(None)
                self._join(Link(near, far, self._rules, self._forget))

    def _join(self, link: Link) -> None:
        with self._lock:
            self._links.add(link)
            link.start()  # listed and not started, it could not be waited for
        # Looked at when the link is listed: half_close() has seen it there, or is seen here.
        if self._rules.manner.ended:
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
