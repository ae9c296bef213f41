"""Clients that ask a server without end, and judge every answer to the last byte."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.waiting import LIMIT

__all__ = ["Load", "ask", "leave", "slow_body"]

_LINGER_NOT = b"\1\0\0\0\0\0\0\0"


def slow_body(name: str) -> bytes:
    """What `/slow/{name}` is answered with."""
    return f"{name} v1".encode() * 1000


def _begin(port: int, path: str, **fields: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    fields = {"Host": "127.0.0.1", "Connection": "close", **fields}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def ask(port: int, path: str, **fields: str) -> bytes | None:
    """Give all bytes that came, on a connection of its own; None where nobody took the connection."""
    data = b""
    try:
        connection = _begin(port, path, **fields)
    except ConnectionError:
        return None
    # A server that ends resets what it never took from its queue; what came has come.
    with connection, suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data


def leave(port: int, path: str, within: float, rng: random.Random) -> None:
    """Ask, and go away at a random moment, with a reset or in peace."""
    with _begin(port, path) as connection:
        connection.settimeout(rng.random() * within)
        with suppress(TimeoutError):
            while connection.recv(4096):
                pass
        if rng.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


class Load:
    """Clients that ask for slow pages, each page three times; every request has a number."""

    def __init__(self, port: int, clients: int) -> None:
        self.port = port
        self.whole: list[str] = []
        """The slow pages that were answered as they should."""
        self.broken: list[str] = []
        self.unanswered: list[int] = []
        """The requests that were not answered with a single byte."""
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]

    def _ask_on(self) -> None:
        while not self._stopping.is_set():
            self._ask(next(self._numbers))

    def _ask(self, number: int) -> None:
        name = f"page-{number // 3}"
        data = ask(self.port, f"/slow/{name}", Number=str(number))
        if data is None:
            self._stopping.wait(0.01)
        elif not data:
            self.unanswered.append(number)
        elif is_whole(data, slow_body(name)):
            self.whole.append(name)
        else:
            self.broken.append(f"{name}: {len(data)} bytes, {data[:200]!r}")

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Ask while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()


def is_whole(data: bytes, expected: bytes) -> bool:
    """Say whether a response is a 200 with this body."""
    head, _, body = data.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 200 ") and body == expected
