"""One connection through a ChaosProxy.

Two threads pass the bytes on, one for each direction. Both obey the behavior of the moment, which a
test may change at any time, also while a thread waits.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Behavior", "CurrentBehavior", "Link"]

_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Behavior:
    """How bytes are passed on. `held` applies to both directions, the rest to replies only."""

    delay: float = 0.0
    """Seconds before each chunk."""
    piece: int = _CHUNK
    """Bytes that are passed on at once, at most."""
    pause: float = 0.0
    """Seconds between two pieces."""
    cut_after: int | None = None
    """Bytes of replies, from the start of this behavior, after which a connection is cut."""
    ended: bool = False
    """Whether the replies' direction is closed while the connection stays open."""
    held: bool = False
    """Whether nothing is passed on; the bytes are kept for later."""


class CurrentBehavior:
    """The behavior of the moment, for all connections. Thread-safe; a change wakes waiting threads."""

    def __init__(self) -> None:
        self.now = Behavior()
        self._changed = threading.Condition()

    def change(self, behavior: Behavior) -> None:
        """Set the behavior from now on."""
        with self._changed:
            self.now = behavior
            self._changed.notify_all()

    def wake(self) -> None:
        """Make waiting threads check their condition again."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, seconds: float | None, until: Callable[[], bool]) -> None:
        """Wait until a condition is true, at most for some seconds; None waits without limit."""
        with self._changed:
            self._changed.wait_for(until, seconds)


class Link:
    """A client's connection (`near`) and the connection to the server made for it (`far`)."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        behavior: CurrentBehavior,
        done: Callable[[Link], object],
    ) -> None:
        """Take over both connections; `done` is called when both are closed."""
        self._near = near
        self._far = far
        self._behavior = behavior
        self._done = done
        self._cut = False
        self._forgotten = False
        self._sent_at = time.monotonic()
        self._lock = threading.Lock()
        self._pumping = 2
        self._counted: Behavior | None = None
        self._replied = 0
        self._threads = [
            threading.Thread(target=self._pump, args=ends, name="chaos-proxy", daemon=True)
            for ends in ((near, far, self._request), (far, near, self._reply))
        ]

    def start(self) -> None:
        """Start to pass bytes on."""
        for thread in self._threads:
            thread.start()

    def cut(self) -> None:
        """Close both connections at once, even in the middle of a message."""
        self._cut = True
        for end in (self._near, self._far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._behavior.wake()

    def forget(self, idle: float) -> None:
        """If nothing was sent for so many seconds, lose what is sent from now on, and say nothing of it."""
        if time.monotonic() - self._sent_at >= idle:
            self._forgotten = True

    def end_replies(self) -> None:
        """Close the replies' direction, and go on reading what the client sends."""
        with contextlib.suppress(OSError):
            self._near.shutdown(socket.SHUT_WR)

    def join(self) -> None:
        """Wait until both threads have ended; call `cut` first."""
        for thread in self._threads:
            thread.join()

    def _pump(
        self, source: socket.socket, sink: socket.socket, pass_on: Callable[[bytes], None]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._sent_at = time.monotonic()
                if not self._forgotten:
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
        self._wait_while_held()
        self._far.sendall(data)

    def _reply(self, data: bytes) -> None:
        behavior = self._wait_while_held()
        self._wait(behavior.delay, behavior)
        while data and not self._cut:
            behavior = self._wait_while_held()
            piece = data[: self._allowed_bytes(behavior)]
            self._near.sendall(piece)
            data = data[len(piece) :]
            self._replied += len(piece)
            if behavior.cut_after is not None and self._replied >= behavior.cut_after:
                self.cut()
            elif data:
                self._wait(behavior.pause, behavior)

    def _allowed_bytes(self, behavior: Behavior) -> int:
        """Return how many bytes may be passed on at once."""
        if behavior is not self._counted:
            self._counted, self._replied = behavior, 0
        if behavior.cut_after is None:
            return behavior.piece
        return min(behavior.piece, max(0, behavior.cut_after - self._replied))

    def _wait_while_held(self) -> Behavior:
        """Wait while everything is held back; return the behavior of the moment."""
        while (behavior := self._behavior.now).held and not self._cut:
            self._behavior.wait(None, lambda: self._cut or not self._behavior.now.held)
        return behavior

    def _wait(self, seconds: float, behavior: Behavior) -> None:
        """Wait some seconds, or until the connection is cut or the behavior changes."""
        if seconds:
            self._behavior.wait(seconds, lambda: self._cut or self._behavior.now is not behavior)
