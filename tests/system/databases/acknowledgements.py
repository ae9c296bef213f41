"""A proxy in front of a database server's socket that loses or delays the answer to one statement.

The server has carried the statement out by then: that it has answered is what the proxy waits for.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Self

__all__ = ["AcknowledgementProxy"]

_CHUNK = 65536
COMMIT = re.compile(rb"\bCOMMIT\b", re.IGNORECASE)


class AcknowledgementProxy:
    """Listens on a port that the kernel chooses, for one server on a unix socket. Thread-safe."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pattern: re.Pattern[bytes] | None = None
        self._loses = False
        self.carried_out = threading.Event()
        """Set when the server has answered the statement."""
        self._may_pass = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, pattern: re.Pattern[bytes] = COMMIT) -> None:
        """Close the connection in place of the answer to the next statement that matches."""
        self.carried_out.clear()
        self._pattern, self._loses = pattern, True

    def hold(self, pattern: re.Pattern[bytes] = COMMIT) -> None:
        """Keep the answer to the next statement that matches, until `let_pass`."""
        self.carried_out.clear()
        self._may_pass.clear()
        self._pattern, self._loses = pattern, False

    def let_pass(self) -> None:
        """Pass on the answer that is being held."""
        self._may_pass.set()

    def close(self) -> None:
        """Close all connections, and take no more."""
        self._pattern = None
        self._may_pass.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for each in connections:
            _close(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            with self._lock:
                self._open |= {near, far}
            caught = threading.Event()
            for pump in (self._pass_statements, self._pass_answers):
                threading.Thread(target=pump, args=(near, far, caught), daemon=True).start()

    def _pass_statements(
        self, near: socket.socket, far: socket.socket, caught: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(_CHUNK):
                if self._pattern is not None and self._pattern.search(data):
                    self._pattern = None
                    caught.set()
                far.sendall(data)
        self._end(near, far)

    def _pass_answers(
        self, near: socket.socket, far: socket.socket, caught: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(_CHUNK):
                if caught.is_set():
                    caught.clear()
                    self.carried_out.set()
                    if self._loses:
                        break
                    self._may_pass.wait()
                near.sendall(data)
        self._end(near, far)

    def _end(self, *connections: socket.socket) -> None:
        with self._lock:
            self._open.difference_update(connections)
        for each in connections:
            _close(each)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
