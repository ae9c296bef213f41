"""The heartbeats of the processes that follow the log. A purge waits for them.

A hash in Redis holds, for each process, the last ID that it applied and the server's time of that
report. A process that was killed cannot remove its heartbeat: it still counts for a few polls, and the
next process that joins removes it.

Whoever cannot report is not waited for, so it must not trust its memory: its follower counts as cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cachemw.invalidation.log.records import number, stream_id
from cachemw.invalidation.log.trust import counts_for

__all__ = ["RETURN_TIME", "Followers", "costs_the_log", "ignore_refusals"]

RETURN_TIME = 5.0
"""Seconds after Redis came back without its data. Until then no purge counts as confirmed: the hash is
empty, so it is not known which other processes will come back and must be waited for."""
_DEAD_AFTER = 60.0
"""Seconds without a heartbeat, after which a process is removed from the hash."""

_REPORT_WHEN_FULL = """
local known = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1 - known
"""
"""A full server refuses HSET, but not in a script that has deleted something before (Redis, "Eval scripts").
So a heartbeat takes the place of the last one, and needs no more memory than that."""


class Followers:
    """The heartbeats of one namespace. `now` is always the server's time in seconds."""

    def __init__(self, key: bytes, poll: float) -> None:
        self.key = key
        self._recent = counts_for(poll)
        self.return_time = max(RETURN_TIME, 2 * self._recent)
        """Seconds in which every process has come back to a log that was lost or is on another server."""

    def report(self, client: Any, me: str, applied: int, now: float) -> bool:
        """Report how far a process has applied the log. Return whether the hash had nothing of it.

        Raises the server's refusal. Then others do not know of this process, and do not wait for it.
        """
        from redis.exceptions import OutOfMemoryError, ResponseError

        beat = f"{stream_id(applied)} {now:.3f}"
        try:
            return bool(client.hset(self.key, me, beat))
        except OutOfMemoryError:
            return bool(client.eval(_REPORT_WHEN_FULL, 1, self.key, me, beat))
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            client.delete(self.key)
            client.hset(self.key, me, beat)
            return True

    def count(
        self, reply: Any, me: str | None, appended: int, now: float | None
    ) -> tuple[int, int]:
        """Return how many other processes have applied a record, and how many have not yet.

        `reply` is the answer of HGETALL. `me` is None for a process that does not follow: it cannot know
        whether a silent one has ended or follows another server, and waits for it longer. If the time is
        not known, every process counts as following. If the heartbeat of this process is missing, the
        hash was lost and the others' are missing too: then the result is (0, 1), so that the purge is not
        confirmed.
        """
        beats = _beats(_pairs(reply))
        if me is not None and beats.pop(me.encode(), None) is None:
            return 0, 1
        recent = self.return_time if me is None else self._recent
        oldest = 0.0 if now is None else now - recent
        applied = [at >= appended for at, beat in beats.values() if beat >= oldest]
        return sum(applied), len(applied) - sum(applied)

    def drop_dead(self, client: Any, now: float) -> None:
        """Remove the heartbeats of killed processes, and values that are not heartbeats."""
        try:
            table = _pairs(client.hgetall(self.key))
        except Exception as error:
            if not is_wrong_type(error):
                raise
            client.delete(self.key)
            return
        beats = _beats(table)
        dead = [name for name in table if not _is_alive(beats.get(name), now)]
        if dead:
            client.hdel(self.key, *dead)


def _is_alive(beat: tuple[int, float] | None, now: float) -> bool:
    return beat is not None and abs(now - beat[1]) < _DEAD_AFTER


def is_refusal(error: Exception) -> bool:
    """Tell whether the server answered and refused (full, read-only). False: it was not reached."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


def is_wrong_type(error: Exception) -> bool:
    """Tell whether a key holds a value of another type."""
    return str(error).startswith("WRONGTYPE")


def costs_the_log(error: Exception) -> bool:
    """Tell whether a refused purge can only be made by deleting the epoch: a full server, a broken log.

    Any other refusal may be over soon, or on another server: a purge that meets it waits.
    """
    from redis.exceptions import OutOfMemoryError

    return isinstance(error, OutOfMemoryError) or is_wrong_type(error)


@contextmanager
def ignore_refusals(tell: Callable[[Exception], None] = lambda error: None) -> Iterator[None]:
    """Ignore a write that the server refuses, and call `tell` with the refusal."""
    from redis.exceptions import ResponseError

    try:
        yield
    except ResponseError as error:
        tell(error)


def _beats(table: dict[bytes, bytes]) -> dict[bytes, tuple[int, float]]:
    """Return the number applied and the time of each process, without invalid values."""
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
