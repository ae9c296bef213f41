"""How long a process may trust its memory, when the log does not speak.

Three cases, and what each allows:

- **A heartbeat proved the log a moment ago.** Memory is served until `until`. A purge waits for this
  process at least as long (`followers`), so `until` never lies beyond that.
- **Redis cannot be reached**, and the log's thread knows it. Nobody can tell what was purged, so
  `partition_limit` decides.
- **The log's thread was not run**: the process was stopped, or its server runs no threads between requests
  (uWSGI without `enable-threads`). No heartbeat came, and no error. Others may have confirmed purges
  without this process, while Redis was there all the time: nothing is served.

A process that begins to follow, or has left the log, serves nothing either: no purge waits for it, and a
server lets requests end after its worker was told to. Nor does one that was forked and has not begun anew.
"""

from __future__ import annotations

from typing import Final

from cachemw.process.fork import is_forked, own_number

__all__ = ["Trust", "counts_for"]

_MISSED: Final = 3
"""Polls without a heartbeat, after which a process does not count as following any more."""
_AT_LEAST: Final = 1.5
"""Seconds that it counts at least, however short the poll: a busy machine may delay a thread so long."""
_SLACK: Final = 0.1
"""Seconds by which a heartbeat may be late, on a busy machine, before memory is not trusted any more."""
_TRIPS: Final = 6
"""Round trips between two heartbeats: the report, the work of a tick, and the next read."""
_SURELY: Final = 0.8
"""The share of that time for which a process trusts itself at most: others estimate the server's clock."""


def counts_for(poll: float) -> float:
    """Return the seconds for which purges wait for a process after its heartbeat."""
    return max(_MISSED * poll, _AT_LEAST)


class Trust:
    """The trust of one process in its log. All times are monotonic."""

    def __init__(self, poll: float, read_timeout: float, partition_limit: float) -> None:
        """Trust for one poll and its answer (`read_timeout`), and never longer than purges wait."""
        self.until = own_number()
        """The time until which memory is trusted without further checks, at index 0."""
        self._counts_for = counts_for(poll)
        self._length = read_timeout + _SLACK
        self._longest = _SURELY * self._counts_for
        self._partition_limit = partition_limit
        self.forget()

    def forget(self) -> None:
        """Begin with no trust at all."""
        self.until[0] = 0.0
        self.alive_at: float | None = None
        """The time when the log was last proved alive."""
        self._due: float | None = None
        """The time by which the log's thread would have spoken, had it run. None: Redis is away."""

    def prove(self, began: float, round_trip: float) -> float:
        """Trust the log anew: a heartbeat that was begun at this time has proved it alive.

        `round_trip` are the seconds that its reply took: a follower that is far away is slower, not late.
        Return for how many seconds no purge can have waited for this process, 0.0 if they always have.
        """
        late = 0.0
        if self._due is not None and self.alive_at is not None:
            late = max(0.0, began - self.alive_at - self._counts_for)
        self.alive_at = began
        length = min(self._length + _TRIPS * round_trip, self._longest)
        self.until[0] = self._due = began + length
        return late

    def end(self) -> None:
        """Trust no longer: Redis cannot be reached."""
        self.until[0] = 0.0
        self._due = None

    def suspend(self) -> None:
        """Serve nothing until `prove` or `end`: this process begins to follow the log, or has left it."""
        self.until[0] = self._due = 0.0

    def serves(self, born: float, now: float) -> bool:
        """Tell whether an entry made at the time `born` may be served without a heartbeat.

        A purge that this process has missed came after the entry was made, and after the log was
        last alive. So within `partition_limit` of the later of the two, the bound of I5 holds.
        """
        if is_forked() or (self._due is not None and now >= self._due):
            return False
        since = born if self.alive_at is None else max(born, self.alive_at)
        return now < since + self._partition_limit
