"""One connection through a ChaosProxy: two threads that pass bytes on, as they are told to at the time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Link", "Manner", "Rules"]

_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Manner:
    """How bytes are passed on. Only `held` concerns requests; the rest is done to replies."""

    delay: float = 0.0
    """Seconds before each chunk."""
    piece: int = _CHUNK
    """Bytes that are passed on at once."""
    pause: float = 0.0
    """Seconds between two pieces."""
    cut_after: int | None = None
    """Bytes of reply, since the manner began, after which a connection is cut."""
    ended: bool = False
    """Whether clients are told that no more will come, while the connection stays open."""
    held: bool = False
    """Whether nothing is passed on at all; it is kept for later."""


class Rules:
    """The manner of the moment, for all connections. Thread-safe; a change wakes whoever waits."""

    def __init__(self) -> None:
        self.manner = Manner()
        self._changed = threading.Condition()

    def change(self, manner: Manner) -> None:
        """Pass bytes on like this from now on."""
        with self._changed:
            self.manner = manner
            self._changed.notify_all()

    def wake(self) -> None:
        """Let those that wait look again whether they should."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, seconds: float | None, until: Callable[[], bool]) -> None:
        """Wait for so long, or without end, but only until a condition that a wake-up may bring."""
        with self._changed:
            self._changed.wait_for(until, seconds)


class Link:
    """A client's connection (`near`) and the one to the server made for it (`far`)."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        rules: Rules,
        done: Callable[[Link], object],
    ) -> None:
        """Take both connections; `done` is called when both have ended and are closed."""
        self._near = near
        self._far = far
        self._rules = rules
        self._done = done
        self._cut = False
        self._lock = threading.Lock()
        self._pumping = 2
        self._counted: Manner | None = None
        self._replied = 0
        self._threads = [
            threading.Thread(target=self._pump, args=ends, name="chaos-proxy", daemon=True)
            for ends in ((near, far, self._request), (far, near, self._reply))
        ]

    def start(self) -> None:
        """Begin to pass bytes on."""
        for thread in self._threads:
            thread.start()

    def cut(self) -> None:
        """End both connections at once, with whatever is under way."""
        self._cut = True
        for end in (self._near, self._far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._rules.wake()

    def end_replies(self) -> None:
        """Tell the client that no more will come, and go on reading what it sends."""
        with contextlib.suppress(OSError):
            self._near.shutdown(socket.SHUT_WR)

    def join(self) -> None:
        """Wait until both threads have ended, as they do after `cut`."""
        for thread in self._threads:
            thread.join()

    def _pump(
        self, source: socket.socket, sink: socket.socket, pass_on: Callable[[bytes], None]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                pass_on(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._pumping -= 1
            last = not self._pumping
        if last:
            self._near.close()
            self._far.close()
            self._done(self)

    def _request(self, data: bytes) -> None:
        self._released()
        self._far.sendall(data)

    def _reply(self, data: bytes) -> None:
        manner = self._released()
        self._wait(manner.delay, manner)
        while data and not self._cut:
            manner = self._released()
            piece = data[: self._room(manner)]
            self._near.sendall(piece)
            data = data[len(piece) :]
            self._replied += len(piece)
            if manner.cut_after is not None and self._replied >= manner.cut_after:
                self.cut()
            elif data:
                self._wait(manner.pause, manner)

    def _room(self, manner: Manner) -> int:
        """Give the bytes that may be passed on at once."""
        if manner is not self._counted:
            self._counted, self._replied = manner, 0
        if manner.cut_after is None:
            return manner.piece
        return min(manner.piece, max(0, manner.cut_after - self._replied))

    def _released(self) -> Manner:
        """Wait while everything is held; give the manner of the moment."""
        while (manner := self._rules.manner).held and not self._cut:
            self._rules.wait(None, lambda: self._cut or not self._rules.manner.held)
        return manner

    def _wait(self, seconds: float, manner: Manner) -> None:
        """Wait, unless the connection is cut or another manner than this one holds before."""
        if seconds:
            self._rules.wait(seconds, lambda: self._cut or self._rules.manner is not manner)
