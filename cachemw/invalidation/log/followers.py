"""Who follows the log, and how far: the heartbeats that a purge waits for.

A hash in Redis holds for each process the last ID that it has applied and when it said so, by the
server's clock. A process that was killed cannot take its heartbeat away: it counts for a few polls
more, and whoever joins later drops it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cachemw.invalidation.log.records import number, stream_id

__all__ = ["RETURN_TIME", "Followers", "ignore_refusals", "is_refusal"]

RETURN_TIME = 5.0
"""Seconds after Redis came back without its data in which no purge counts as confirmed: the others
may still be on their way back, and nobody is on record to be waited for."""
_MISSED = 3
"""Polls without a heartbeat after which a process does not count as following any more."""
_AT_LEAST = 1.5
"""Seconds that it counts whatever the poll: a busy machine keeps a thread waiting for that long."""
_DEAD_AFTER = 60.0
"""Seconds without a heartbeat after which a process is dropped."""


class Followers:
    """The heartbeats of one namespace. `now` is the server's time in seconds throughout."""

    def __init__(self, key: bytes, poll: float) -> None:
        self.key = key
        self._recent = max(_MISSED * poll, _AT_LEAST)

    def report(self, client: Any, me: str, applied: int, now: float) -> None:
        """Tell how far a process has applied the log; a server that is full need not take it."""
        with ignore_refusals():
            client.hset(self.key, me, f"{stream_id(applied)} {now:.3f}")

    def count(
        self, reply: Any, me: str | None, appended: int, now: float | None
    ) -> tuple[int, int]:
        """Count the others that have applied a record, and those that follow and have not.

        `reply` is what HGETALL answered, `me` None for a process that does not follow. Where the
        time is not known everyone counts as following. Where our own heartbeat is lost the others'
        are too, and it stands for them: one that has not.
        """
        beats = _beats(_pairs(reply))
        if me is not None and beats.pop(me.encode(), None) is None:
            return 0, 1
        oldest = 0.0 if now is None else now - self._recent
        applied = [at >= appended for at, beat in beats.values() if beat >= oldest]
        return sum(applied), len(applied) - sum(applied)

    def drop_dead(self, client: Any, now: float) -> None:
        """Drop what killed processes have left, and whatever is no heartbeat."""
        try:
            table = _pairs(client.hgetall(self.key))
        except Exception as error:
            if not is_refusal(error):
                raise
            client.delete(self.key)  # a value of another type
            return
        beats = _beats(table)
        dead = [name for name in table if not _is_alive(beats.get(name), now)]
        if dead:
            client.hdel(self.key, *dead)


def _is_alive(beat: tuple[int, float] | None, now: float) -> bool:
    return beat is not None and abs(now - beat[1]) < _DEAD_AFTER


def is_refusal(error: Exception) -> bool:
    """Say whether the server itself refused (full, read-only), as against being out of reach."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


@contextmanager
def ignore_refusals() -> Iterator[None]:
    """Go on without what the server refuses to write."""
    try:
        yield
    except Exception as error:
        if not is_refusal(error):
            raise


def _beats(table: dict[bytes, bytes]) -> dict[bytes, tuple[int, float]]:
    """Read heartbeats: process -> number applied and time; what is none is left out."""
    beats = {}
    for name, value in table.items():
        with suppress(ValueError):
            at, beat = value.split(b" ")
            beats[name] = number(at), float(beat)
    return beats


def _pairs(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return dict(reply)
    flat = list(reply or ())
    return dict(zip(flat[::2], flat[1::2], strict=False))
