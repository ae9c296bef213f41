"""A response on its way into the store: what is known of it while its body is collected."""

from __future__ import annotations

from msgspec import Struct

from cachemw.engine.model.entry import Learned
from cachemw.engine.model.holes import Hole
from cachemw.engine.request.decisions import Fetch
from cachemw.http.cache_control import CacheControl
from cachemw.http.freshness import Lifetime
from cachemw.http.messages import Head

__all__ = ["Collector"]


class Collector(Struct, kw_only=True, eq=False):
    """A response that is being collected so that it can be stored."""

    fetch: Fetch
    head: Head
    control: CacheControl
    lifetime: Lifetime
    born: float
    arrived: float
    """When the head came, in seconds since the epoch."""
    judged_whole: bool = False
    """Whether `judge_head` saw the whole body."""
    tags: tuple[str, ...] = ()
    """Tags from the response's headers."""
    holes: tuple[Hole, ...] = ()
    """Where pieces for one client were cut out of the body."""
    learned: Learned | None = None
    """What is known of the key, if the route's lifetimes are learned."""

    @property
    def max_size(self) -> int:
        """The largest body that is collected, in bytes."""
        return self.fetch.cacheable.route.max_size
