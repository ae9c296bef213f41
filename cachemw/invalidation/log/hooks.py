"""The callbacks of the invalidation log into the rest of cachemw."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cachemw.engine.model.outcomes import EventName

if TYPE_CHECKING:
    import redis

__all__ = ["LogHooks"]


class LogHooks:
    """The callbacks. The composition root replaces the defaults, which do nothing."""

    def __init__(self) -> None:
        self.flags: Callable[[bytes], None] = lambda document: None
        """Called with the live flags when they change."""
        self.flags_answered: Callable[[bytes | None], None] = lambda document: None
        """Called on joining with the live flags in Redis, or None if it has none."""
        self.newest_flags: Callable[[bytes | None], bytes | None] = lambda document: document
        """Return the newer of two: the live flags in Redis, and those that this process knows."""
        self.widen: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda tags: tags
        """Return the tags of a record as this process knows them, which has perhaps another secret."""
        self.tick: Callable[[redis.Redis], None] = lambda client: None
        """Called after each poll. The client may be used to publish."""
        self.rejoined: Callable[[], None] = lambda: None
        """Called when the process follows the log, for the first time or again."""
        self.failed: Callable[[BaseException, str], None] = lambda error, server: None
        """Called with each error of the log, and with its server where that is one of several."""
        self.lost: Callable[[BaseException], None] = lambda error: None
        """Called with the error when a log that was followed is lost."""
        self.unreached: Callable[[], None] = lambda: None
        """Called at each failure to reach or to follow the log."""
        self.regained: Callable[[float, int], None] = lambda seconds, records: None
        """Called with the length of the gap, and the number of records that were read after it."""
        self.late: Callable[[float], None] = lambda seconds: None
        """Called with the seconds for which no purge has waited: the log's thread was not run."""
        self.unsent: Callable[[int], None] = lambda count: None
        """Called on closing with the number of purges that could not be appended."""
        self.breaker_closed: Callable[[], None] = lambda: None
        """Called when a breaker is closed again: Redis is used."""
        self.count: Callable[[EventName, str], None] = lambda event, reason: None
        """Count an event."""
