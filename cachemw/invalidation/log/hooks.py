"""The functions that the log calls in the rest of cachemw."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

__all__ = ["LogHooks"]


class LogHooks:
    """What the log tells the rest of cachemw; the composition root puts its functions in."""

    def __init__(self) -> None:
        self.flags: Callable[[bytes], None] = lambda document: None
        """The live flags changed."""
        self.newest_flags: Callable[[bytes | None], bytes | None] = lambda document: document
        """The newer of the live flags that Redis has and those that this process knows."""
        self.tick: Callable[[redis.Redis], None] = lambda client: None
        """A poll went by; the client may be used to publish."""
        self.rejoined: Callable[[], None] = lambda: None
        """The log is followed, for the first time or again."""
        self.lost: Callable[[str], None] = lambda error: None
        self.regained: Callable[[float, int], None] = lambda seconds, records: None
        self.unsent: Callable[[int], None] = lambda count: None
        """The log is closed, and so many purges were never appended."""
        self.count: Callable[[str, str], None] = lambda event, reason: None
