"""The heartbeats of this process, and whether those of all others are there.

A purge is confirmed when every process with a recent heartbeat has applied it. That says something about
all processes only while the heartbeats are complete: not while a lost log is being joined again, nor where
the hash of heartbeats was lost, nor where another server has taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachemw.invalidation.base import process_id
from cachemw.invalidation.log.followers import Followers
from cachemw.invalidation.log.server_life import ServerLife
from cachemw.invalidation.log.stream import seconds

__all__ = ["Presence"]


class Presence:
    """The heartbeats of this process. Only the log's thread reports; the rest is thread-safe."""

    def __init__(
        self, followers: Followers, server: ServerLife, monotonic: Callable[[], float]
    ) -> None:
        self._followers = followers
        self._server = server
        self._monotonic = monotonic
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a new process: with another name."""
        self.me = process_id()
        self._reported = False
        self._others_back_at = 0.0

    def mark_log_lost(self) -> None:
        """Note that the log, or the heartbeats, were lost just now."""
        self._others_back_at = self._monotonic() + self._followers.return_time

    @property
    def others_are_back(self) -> bool:
        """Whether all others have had time to come back."""
        return self._monotonic() >= self._others_back_at

    def introduce(self, client: Any, position: int | None, *, returning: bool) -> Exception | None:
        """Report that this process is about to follow the log. Return the server's refusal, if any.

        `returning`: it has followed a log before, perhaps on another server.
        """
        from redis.exceptions import ResponseError

        now = seconds(client.time())
        try:
            if not self._server.note(client, now, returning=returning) and returning:
                self.mark_log_lost()
            self.report(client, position, now)
        except ResponseError as error:
            return error
        return None

    def report(self, client: Any, position: int | None, now: float) -> None:
        """Report the position of this process, so that purges wait for it. Raises the server's refusal.

        None is the position of a process that serves no requests (a tool): no purge waits for that.
        """
        if position is None:
            return
        is_new = self._followers.report(client, self.me, position, now)
        if is_new and self._reported:
            # Somebody deleted the hash, and those who have not reported since are missing in it.
            self.mark_log_lost()
            self._server.begin_again(client, now)
        self._reported = True

    def take_back(self, client: Any) -> None:
        """Remove the heartbeat of this process: from here on no purge waits for it."""
        self._reported = False
        client.hdel(self._followers.key, self.me)
